//! From Cedar's syntax tree to a program. The one module that reads `cedar-policy-core`, whose types may change with
//! every release; the crate is pinned to the very version that `cedar-policy` itself is built on. What this does not
//! know becomes [`Op::GiveUp`], so a new kind of expression is slow and never wrong.

use std::collections::HashSet;
use std::sync::Arc;

use cedar_policy::EntityUid;
use cedar_policy_core::ast::{self, BinaryOp, Expr, ExprKind, Literal, PatternElem, SlotEnv, UnaryOp, Var};

use super::like::{Element, Pattern};
use super::{Arithmetic, Datum, Function, GaveUp, Op, Variable};
use crate::decision::entity::Uid;
use crate::decision::value::{Extension, ExtensionKind, Set, Value};

/// The deepest program. What is deeper is left to Cedar, which watches its stack.
const DEEPEST: usize = 120;

/// Names that are shared between programs, to save memory.
#[derive(Debug, Default)]
pub(in crate::decision::policy) struct Names(HashSet<Arc<str>>);

impl Names {
    pub(in crate::decision::policy) fn share(&mut self, name: &str) -> Arc<str> {
        if let Some(shared) = self.0.get(name) {
            return Arc::clone(shared);
        }
        let shared: Arc<str> = name.into();
        self.0.insert(Arc::clone(&shared));
        shared
    }

    pub(in crate::decision::policy) fn uid(&mut self, uid: &ast::EntityUID) -> Uid {
        let kind = self.share(&uid.entity_type().to_string());
        Uid::new(kind, uid.eid().as_ref())
    }
}

/// The conditions of a policy, all of which must hold, in their order. What a link fills in is filled in.
pub(in crate::decision::policy) fn conjuncts(policy: &cedar_policy::Policy, names: &mut Names) -> Vec<Op> {
    let policy: &ast::Policy = policy.as_ref();
    let mut compiler = Compiler { slots: policy.env(), names };
    match policy.non_scope_constraints() {
        None => Vec::new(),
        Some(condition) => match compiler.compile(condition, 0) {
            Op::And(all) => all.into(),
            op => vec![op],
        },
    }
}

struct Compiler<'a> {
    slots: &'a SlotEnv,
    names: &'a mut Names,
}

impl Compiler<'_> {
    fn compile(&mut self, expression: &Expr, depth: usize) -> Op {
        if depth > DEEPEST {
            return Op::GiveUp;
        }
        let mut inner = |expression: &Expr| self.compile(expression, depth + 1);
        match expression.expr_kind() {
            ExprKind::Lit(literal) => Op::Constant(self.literal(literal)),
            ExprKind::Slot(slot) => match self.slots.get(slot) {
                Some(uid) => Op::Constant(Value::Entity(self.names.uid(uid))),
                None => Op::GiveUp,
            },
            ExprKind::Var(variable) => Op::Variable(match variable {
                Var::Principal => Variable::Principal,
                Var::Action => Variable::Action,
                Var::Resource => Variable::Resource,
                Var::Context => Variable::Context,
            }),
            ExprKind::If { test_expr, then_expr, else_expr } => {
                Op::If(Box::new([inner(test_expr), inner(then_expr), inner(else_expr)]))
            }
            ExprKind::And { .. } => Op::And(self.chain(expression, depth, and_sides)),
            ExprKind::Or { .. } => Op::Or(self.chain(expression, depth, or_sides)),
            ExprKind::UnaryApp { op, arg } => unary(*op, inner(arg)),
            ExprKind::BinaryApp { op, arg1, arg2 } => self.binary(*op, arg1, arg2, depth),
            ExprKind::ExtensionFunctionApp { fn_name, args } => {
                let args = args.iter().map(inner).collect();
                call(fn_name, args)
            }
            ExprKind::GetAttr { expr, attr } => Op::Attribute(Box::new(inner(expr)), self.names.share(attr)),
            ExprKind::HasAttr { expr, attr } => Op::Has(Box::new(inner(expr)), self.names.share(attr)),
            ExprKind::ExtHasAttr { expr, attrs } => {
                let of = inner(expr);
                self.has_each(of, attrs.iter().map(cedar_policy::pst::SmolStr::as_str))
            }
            ExprKind::Like { expr, pattern } => Op::Like(Box::new(inner(expr)), pattern_of(pattern)),
            ExprKind::Is { expr, entity_type } => {
                Op::Is(Box::new(inner(expr)), self.names.share(&entity_type.to_string()))
            }
            ExprKind::Set(elements) => constants(elements.iter().map(inner).collect())
                .map_or(Op::GiveUp, |values| Op::Constant(Value::Set(values.into_iter().collect()))),
            ExprKind::Record(fields) => {
                let (names, values): (Vec<_>, Vec<_>) = fields.iter().map(|(name, field)| (name, inner(field))).unzip();
                constants(values).map_or(Op::GiveUp, |values| {
                    let names = names.into_iter().map(|name| self.names.share(name).into());
                    Op::Constant(Value::Record(names.zip(values).collect()))
                })
            }
            ExprKind::Unknown(_) => Op::GiveUp,
        }
    }

    /// An operator with two operands. A set on its right or left that is no constant is taken apart rather than made.
    fn binary(&mut self, op: BinaryOp, left: &Expr, right: &Expr, depth: usize) -> Op {
        let mut inner = |expression: &Expr| self.compile(expression, depth + 1);
        let pair = [inner(left), inner(right)];
        match (op, left.expr_kind(), right.expr_kind()) {
            (BinaryOp::In, _, ExprKind::Set(places)) if !is_constant(&pair[1]) => {
                let places = places.iter().map(inner).collect();
                let [of, _] = pair;
                Op::InAny(Box::new(of), places)
            }
            (BinaryOp::Contains, ExprKind::Set(elements), _) if !is_constant(&pair[0]) => {
                let elements = elements.iter().map(inner).collect();
                let [_, wanted] = pair;
                Op::AnyEqual(elements, Box::new(wanted))
            }
            _ => binary(op, Box::new(pair)),
        }
    }

    fn literal(&mut self, literal: &Literal) -> Value<'static> {
        match literal {
            Literal::Bool(value) => Value::Bool(*value),
            Literal::Long(value) => Value::Long(*value),
            Literal::String(text) => Value::Text(self.names.share(text).into()),
            Literal::EntityUID(uid) => Value::Entity(self.names.uid(uid)),
        }
    }

    /// `a && b && c`, however it is bracketed, as one list: neither result nor errors depend on the brackets.
    fn chain(&mut self, expression: &Expr, depth: usize, sides: fn(&Expr) -> Option<(&Expr, &Expr)>) -> Box<[Op]> {
        let mut links = Vec::new();
        let mut pending = vec![expression];
        while let Some(expression) = pending.pop() {
            match sides(expression) {
                Some((left, right)) => pending.extend([right, left]),
                None => links.push(self.compile(expression, depth + 1)),
            }
        }
        links.into()
    }

    /// `e has a.b.c`: `e has a && e.a has b && e.a.b has c`.
    fn has_each<'n>(&mut self, of: Op, attributes: impl Iterator<Item = &'n str>) -> Op {
        let mut of = of;
        let mut all = Vec::new();
        for name in attributes {
            let name = self.names.share(name);
            all.push(Op::Has(Box::new(of.clone()), Arc::clone(&name)));
            of = Op::Attribute(Box::new(of), name);
        }
        Op::And(all.into())
    }
}

fn and_sides(expression: &Expr) -> Option<(&Expr, &Expr)> {
    match expression.expr_kind() {
        ExprKind::And { left, right } => Some((left, right)),
        _ => None,
    }
}

fn or_sides(expression: &Expr) -> Option<(&Expr, &Expr)> {
    match expression.expr_kind() {
        ExprKind::Or { left, right } => Some((left, right)),
        _ => None,
    }
}

const fn is_constant(op: &Op) -> bool {
    matches!(op, Op::Constant(_))
}

/// The values, if all of these are constants.
fn constants(ops: Vec<Op>) -> Option<Vec<Value<'static>>> {
    let values = ops.into_iter().map(|op| match op {
        Op::Constant(value) => Some(value),
        _ => None,
    });
    values.collect()
}

fn unary(op: UnaryOp, of: Op) -> Op {
    let of = Box::new(of);
    match op {
        UnaryOp::Not => Op::Not(of),
        UnaryOp::Neg => Op::Negate(of),
        UnaryOp::IsEmpty => Op::IsEmpty(of),
    }
}

fn binary(op: BinaryOp, pair: Box<[Op; 2]>) -> Op {
    match op {
        BinaryOp::Eq => Op::Equal(pair),
        BinaryOp::Less => Op::Less(pair),
        BinaryOp::LessEq => Op::LessEqual(pair),
        BinaryOp::Add => Op::Arithmetic(Arithmetic::Add, pair),
        BinaryOp::Sub => Op::Arithmetic(Arithmetic::Subtract, pair),
        BinaryOp::Mul => Op::Arithmetic(Arithmetic::Multiply, pair),
        BinaryOp::In => Op::In(pair),
        BinaryOp::Contains => Op::Contains(pair),
        BinaryOp::ContainsAll => Op::ContainsAll(pair),
        BinaryOp::ContainsAny => Op::ContainsAny(pair),
        BinaryOp::GetTag => Op::Tag(pair),
        BinaryOp::HasTag => Op::HasTag(pair),
    }
}

fn pattern_of(pattern: &ast::Pattern) -> Pattern {
    let element = |element: &PatternElem| match element {
        PatternElem::Char(character) => Element::Character(*character),
        PatternElem::Wildcard => Element::Star,
    };
    pattern.iter().map(element).collect()
}

/// A call, or its result if it has only constants to work on: `ip("10.0.0.0/8")` is read once and not at every request.
fn call(name: &ast::Name, arguments: Vec<Op>) -> Op {
    let name = name.to_string();
    if let [Op::Constant(Value::Text(text))] = &*arguments
        && let Some(value) = construct(&name, text.as_str())
    {
        return Op::Constant(Value::Extension(value));
    }
    let Some(function) = Function::named(&name) else { return Op::GiveUp };
    let folded = folded(function, &arguments);
    folded.map_or_else(|_| Op::Call(function, arguments.into()), Op::Constant)
}

fn folded(function: Function, arguments: &[Op]) -> Result<Value<'static>, GaveUp> {
    let mut values = Vec::with_capacity(arguments.len());
    for argument in arguments {
        let Op::Constant(value) = argument else { return Err(GaveUp) };
        values.push(Datum::from(value));
    }
    match function.call(&values)? {
        Datum::Bool(value) => Ok(Value::Bool(value)),
        Datum::Long(value) => Ok(Value::Long(value)),
        Datum::Extension(value) => Ok(Value::Extension(value)),
        _ => Err(GaveUp),
    }
}

/// A value of an extension type from its text, as Cedar reads it.
fn construct(constructor: &str, text: &str) -> Option<Extension> {
    let kinds = [ExtensionKind::Ip, ExtensionKind::Decimal, ExtensionKind::Datetime, ExtensionKind::Duration];
    let kind = kinds.into_iter().find(|kind| kind.function() == constructor)?;
    Extension::parse(kind, text)
}

/// What the scope of a policy says, as conditions. None of them can be an error.
pub(in crate::decision::policy) fn scope_of(policy: &cedar_policy::Policy, names: &mut Names) -> Vec<Op> {
    use cedar_policy::{ActionConstraint, PrincipalConstraint, ResourceConstraint};

    let mut party = |variable, is: Option<String>, same: Option<&EntityUid>, within: Option<&EntityUid>| {
        let it = || Op::Variable(variable);
        let is = is.map(|kind| Op::Is(Box::new(it()), names.share(&kind)));
        let mut entity = |uid: &EntityUid| Op::Constant(Value::Entity(names.uid(uid.as_ref())));
        let same = same.map(|uid| Op::Equal(Box::new([it(), entity(uid)])));
        let within = within.map(|uid| Op::In(Box::new([it(), entity(uid)])));
        is.into_iter().chain(same).chain(within)
    };
    let mut conditions = Vec::new();
    conditions.extend(match policy.principal_constraint() {
        PrincipalConstraint::Any => party(Variable::Principal, None, None, None),
        PrincipalConstraint::Eq(uid) => party(Variable::Principal, None, Some(&uid), None),
        PrincipalConstraint::In(uid) => party(Variable::Principal, None, None, Some(&uid)),
        PrincipalConstraint::Is(kind) => party(Variable::Principal, Some(kind.to_string()), None, None),
        PrincipalConstraint::IsIn(kind, uid) => party(Variable::Principal, Some(kind.to_string()), None, Some(&uid)),
    });
    conditions.extend(match policy.resource_constraint() {
        ResourceConstraint::Any => party(Variable::Resource, None, None, None),
        ResourceConstraint::Eq(uid) => party(Variable::Resource, None, Some(&uid), None),
        ResourceConstraint::In(uid) => party(Variable::Resource, None, None, Some(&uid)),
        ResourceConstraint::Is(kind) => party(Variable::Resource, Some(kind.to_string()), None, None),
        ResourceConstraint::IsIn(kind, uid) => party(Variable::Resource, Some(kind.to_string()), None, Some(&uid)),
    });
    match policy.action_constraint() {
        ActionConstraint::Any => {}
        ActionConstraint::Eq(uid) => conditions.extend(party(Variable::Action, None, Some(&uid), None)),
        ActionConstraint::In(uids) => {
            let places = uids.iter().map(|uid| Value::Entity(names.uid(uid.as_ref()))).collect::<Set<'_>>();
            let places = Op::Constant(Value::Set(places));
            conditions.push(Op::In(Box::new([Op::Variable(Variable::Action), places])));
        }
    }
    conditions
}

/// How many steps from one entity to the next, or to what it has, the conditions of a policy can take at most. What is
/// further from what they name can't matter to them.
pub(in crate::decision::policy) fn dereferences(policy: &cedar_policy::Policy) -> usize {
    let policy: &ast::Policy = policy.as_ref();
    let Some(condition) = policy.non_scope_constraints() else { return 0 };
    let steps = condition.subexpressions().map(|expression| match expression.expr_kind() {
        ExprKind::GetAttr { .. }
        | ExprKind::HasAttr { .. }
        | ExprKind::BinaryApp { op: BinaryOp::GetTag | BinaryOp::HasTag, .. } => 1,
        ExprKind::ExtHasAttr { attrs, .. } => attrs.len(),
        _ => 0,
    });
    steps.sum()
}
