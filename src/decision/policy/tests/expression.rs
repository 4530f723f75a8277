//! Random expressions: mostly of the type that is wanted, so that they mean something, and now and then of another.

use super::dice::Dice;
use super::world::ATTRIBUTES;

pub(super) struct Expressions<'a> {
    pub(super) dice: &'a mut Dice,
    pub(super) kinds: &'a [String],
}

impl Expressions<'_> {
    pub(super) fn bool(&mut self, depth: usize) -> String {
        if depth == 0 {
            return self
                .dice
                .pick(&["true", "false", "principal == resource", "context.a", "resource has b"])
                .to_string();
        }
        let depth = depth - 1;
        match self.dice.below(22) {
            0 | 1 => format!("({} && {})", self.bool(depth), self.bool(depth)),
            2 | 3 => format!("({} || {})", self.bool(depth), self.bool(depth)),
            4 => format!("!({})", self.bool(depth)),
            5 => format!("(if {} then {} else {})", self.bool(depth), self.bool(depth), self.bool(depth)),
            6 => format!("{} in {}", self.entity(), self.entity()),
            7 => format!("{} in [{}, {}]", self.entity(), self.entity(), self.entity()),
            8 => format!("{} is {}", self.entity(), self.kind()),
            9 => format!("{} is {} in {}", self.entity(), self.kind(), self.entity()),
            10 => format!("{} == {}", self.any(depth), self.any(depth)),
            11 => format!("{} {} {}", self.long(depth), self.dice.pick(&["<", "<=", ">", ">="]), self.long(depth)),
            12 => format!("{} has {}", self.holder(), self.attribute()),
            13 => self.guarded(),
            14 => format!("{} like \"{}\"", self.text(), self.dice.pick(&["*", "a*", "*b", "a\\*b", "", "a*b*"])),
            15 => format!("[{}, {}].contains({})", self.any(depth), self.any(depth), self.any(depth)),
            16 => format!(
                "{}.{}({})",
                self.set(depth),
                self.dice.pick(&["contains", "containsAll", "containsAny"]),
                self.set(depth)
            ),
            17 => format!("{}.isEmpty()", self.set(depth)),
            18 => format!("{}.hasTag({})", self.entity(), self.text()),
            19 => self.extension(),
            20 => format!("{{x: {}, \"y\": {}}} == {}", self.long(depth), self.text(), self.path()),
            _ => format!("[principal, {}].contains({})", self.entity(), self.entity()),
        }
    }

    /// A read that is asked for first.
    fn guarded(&mut self) -> String {
        let (holder, attribute) = (self.holder(), self.attribute());
        let value = match self.dice.below(5) {
            0 => "1".to_owned(),
            1 => "\"a\"".to_owned(),
            2 => self.entity(),
            3 => "ip(\"10.0.0.1\")".to_owned(),
            _ => "true".to_owned(),
        };
        match self.dice.below(3) {
            0 => format!("({holder} has {attribute}.x && {holder}.{attribute}.x < 2)"),
            1 => format!("({holder} has {attribute} && {holder}.{attribute} != {value})"),
            _ => format!("({holder} has {attribute} && {holder}.{attribute} == {value})"),
        }
    }

    fn any(&mut self, depth: usize) -> String {
        match self.dice.below(6) {
            0 => self.long(depth),
            1 => self.text(),
            2 => self.entity(),
            3 => self.set(depth),
            4 => self.extension_value(),
            _ => self.path(),
        }
    }

    fn long(&mut self, depth: usize) -> String {
        match self.dice.below(if depth == 0 { 2 } else { 5 }) {
            0 => self.dice.pick(&["0", "1", "2", "-1", "9223372036854775807"]).to_string(),
            1 => self.path(),
            2 => format!("({} {} {})", self.long(depth - 1), self.dice.pick(&["+", "-", "*"]), self.long(depth - 1)),
            3 => format!("-({})", self.long(depth - 1)),
            _ => format!(
                "{}.{}()",
                self.extension_value(),
                self.dice.pick(&["toMilliseconds", "toSeconds", "toDays", "toHours"])
            ),
        }
    }

    fn text(&mut self) -> String {
        match self.dice.below(4) {
            0 => self.path(),
            1 => format!("{}.getTag(\"{}\")", self.entity(), self.attribute()),
            _ => format!("\"{}\"", self.dice.pick(&["", "a", "ab", "b"])),
        }
    }

    fn set(&mut self, depth: usize) -> String {
        match self.dice.below(4) {
            0 => "[1, 2]".to_owned(),
            1 => format!("[{}]", self.long(depth.saturating_sub(1))),
            2 => "[\"a\", \"b\", \"a\"]".to_owned(),
            _ => self.path(),
        }
    }

    fn extension(&mut self) -> String {
        match self.dice.below(6) {
            0 => format!(
                "{}.{}()",
                self.extension_value(),
                self.dice.pick(&["isIpv4", "isIpv6", "isLoopback", "isMulticast"])
            ),
            1 => format!("{}.isInRange({})", self.extension_value(), self.extension_value()),
            2 => {
                let compare = self.dice.pick(&["lessThan", "lessThanOrEqual", "greaterThan", "greaterThanOrEqual"]);
                format!("{}.{compare}({})", self.extension_value(), self.extension_value())
            }
            3 => format!("{}.offset({}) > {}", self.extension_value(), self.extension_value(), self.extension_value()),
            4 => format!(
                "{}.durationSince({}) == {}",
                self.extension_value(),
                self.extension_value(),
                self.extension_value()
            ),
            _ => format!(
                "{}.{}() < {}",
                self.extension_value(),
                self.dice.pick(&["toDate", "toTime"]),
                self.extension_value()
            ),
        }
    }

    fn extension_value(&mut self) -> String {
        let literals = [
            "ip(\"10.0.0.0/8\")",
            "ip(\"::1\")",
            "decimal(\"1.5\")",
            "datetime(\"2026-11-22\")",
            "datetime(\"1969-12-31T23:59:59Z\")",
            "duration(\"1d1h\")",
            "duration(\"-1ms\")",
            "ip(\"nonsense\")",
        ];
        if self.dice.percent(50) { self.path() } else { self.dice.pick(&literals).to_string() }
    }

    fn entity(&mut self) -> String {
        match self.dice.below(7) {
            0 | 1 => "principal".to_owned(),
            2 | 3 => "resource".to_owned(),
            4 => "action".to_owned(),
            5 => self.path(),
            _ => format!("{}::\"{}\"", self.kind(), self.dice.below(5)),
        }
    }

    /// What can have attributes.
    fn holder(&mut self) -> String {
        match self.dice.below(6) {
            0 | 1 => "principal".to_owned(),
            2 | 3 => "resource".to_owned(),
            4 => "context".to_owned(),
            _ => self.path(),
        }
    }

    fn path(&mut self) -> String {
        let root = *self.dice.pick(&["principal", "resource", "context", "context"]);
        let first = self.attribute();
        if self.dice.percent(25) { format!("{root}.{first}.{}", self.attribute()) } else { format!("{root}.{first}") }
    }

    fn kind(&mut self) -> String {
        self.dice.pick(self.kinds).clone()
    }

    fn attribute(&mut self) -> String {
        (*self.dice.pick(&ATTRIBUTES)).to_owned()
    }
}
