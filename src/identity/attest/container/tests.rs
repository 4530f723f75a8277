use proptest::prelude::*;

use super::*;

const C: &str = "09bc3d7ade839efec32b6bec4ec79d099027a668ddba043083ec21d3c3b8f1e6";
const OTHER: &str = "93529524695bb00d91c1f6dba692ea8d3550c3b94fb2463af7bc9ec82f992d26";
const UID: &str = "a2830d0d-b0f0-4ff0-81b5-0ee4e299cf80";
const UID_: &str = "a2830d0d_b0f0_4ff0_81b5_0ee4e299cf80";

/// From the machine itself, by a service of systemd.
fn from_the_machine() -> View {
    View { whole: true, own: vec!["/system.slice/portcullis.service".to_owned()] }
}

/// From a container with a control group namespace of its own.
fn from_a_container() -> View {
    View { whole: false, own: vec!["/".to_owned()] }
}

/// `~` is the container's id, `@` the pod's uid, `#` that as systemd wants it, `%` another container's id.
fn path(text: &str) -> String {
    text.replace('~', C).replace('@', UID).replace('#', UID_).replace('%', OTHER)
}

fn found(line: &str, view: &View) -> Result<Option<(Runtime, Option<Pod>)>, ContainerError> {
    find(&path(line), view).map(|found| {
        found.map(|found| {
            assert_eq!(found.id.as_str(), C, "{line}");
            (found.runtime, found.pod)
        })
    })
}

fn uid() -> Pod {
    Pod::Uid(UID.to_owned())
}

/// W: the shapes that Docker, Podman, containerd and CRI-O give to the groups of their containers, by control group
/// version and driver.
#[test]
fn containers_are_found_in_the_control_groups_of_every_manager() {
    let static_pod = Some(Pod::Uid("0123456789abcdef0123456789abcdef".to_owned()));
    for (line, runtime, pod) in [
        ("0::/system.slice/docker-~.scope", Runtime::Docker, None),
        ("11:memory:/docker/~", Runtime::Docker, None),
        ("0::/docker/~", Runtime::Docker, None),
        ("0::/docker/~/init", Runtime::Docker, None),
        ("0::/teams.slice/teams-a.slice/docker-~.scope", Runtime::Docker, None),
        ("0::/machine.slice/libpod-~.scope", Runtime::Podman, None),
        ("0::/machine.slice/libpod-~.scope/container", Runtime::Podman, None),
        ("4:pids:/libpod_parent/libpod-~", Runtime::Podman, None),
        ("11:hugetlb:/kubepods/burstable/pod@/~", Runtime::Untold, Some(uid())),
        ("10:devices:/kubepods/besteffort/pod@/~", Runtime::Untold, Some(uid())),
        ("10:devices:/kubepods/pod@/~", Runtime::Untold, Some(uid())),
        ("10:devices:/kubepods/pod@/crio-~", Runtime::Cri, Some(uid())),
        ("0::/kubelet/kubepods/besteffort/pod@/~", Runtime::Untold, Some(uid())),
        (
            "0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod#.slice/docker-~.scope",
            Runtime::Docker,
            Some(uid()),
        ),
        ("0::/kubepods.slice/kubepods-pod#.slice/cri-containerd-~.scope", Runtime::Cri, Some(uid())),
        (
            "0::/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod#.slice/crio-~.scope",
            Runtime::Cri,
            Some(uid()),
        ),
        (
            "0::/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod#.slice/crio-~.scope/container",
            Runtime::Cri,
            Some(uid()),
        ),
        (
            "0::/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-burstable.slice/\
             kubelet-kubepods-burstable-pod#.slice/cri-containerd-~.scope",
            Runtime::Cri,
            Some(uid()),
        ),
        (
            "0::/kubepods.slice/kubepods-burstable.slice/\
             kubepods-burstable-pod0123456789abcdef0123456789abcdef.slice/cri-containerd-~.scope",
            Runtime::Cri,
            static_pod,
        ),
        (
            "0::/system.slice/containerd.service/kubepods-burstable-pod#.slice:cri-containerd:~",
            Runtime::Cri,
            Some(uid()),
        ),
        ("0::/kubepods-besteffort-pod#.slice:cri-containerd:~", Runtime::Cri, Some(uid())),
    ] {
        assert_eq!(found(line, &from_the_machine()), Ok(Some((runtime, pod))), "{line}");
    }
}

#[test]
fn what_is_in_no_container_is_in_none() {
    for line in [
        "",
        "0::/",
        "0::/init.scope",
        "0::/system.slice/docker.service",
        "0::/system.slice/containerd.service",
        "0::/user.slice/user-1000.slice/session-3.scope",
        "0::/user.slice/user-1000.slice/user@1000.service/app.slice/app-firefox-1234.scope",
        "0::/machine.slice/systemd-nspawn@web.service/payload",
        "0::/kubepods.slice/kubepods-burstable.slice",
        "0::/docker",
        "0::/docker/buildx",
        "9:name=systemd:/\n8:pids:/\n0::/",
    ] {
        assert_eq!(found(line, &from_the_machine()), Ok(None), "{line}");
    }
}

/// Any user with a session may name groups below `user@UID.service`, and a container with a writable hierarchy below its
/// own group. SPIRE takes the innermost name that looks like a container's, wherever it stands.
#[test]
fn a_process_that_can_make_control_groups_does_not_pose_as_another_container() {
    for own in [
        "0::/user.slice/user-1000.slice/user@1000.service/docker-~.scope",
        "0::/user.slice/user-1000.slice/user@1000.service/app.slice/docker-~.scope",
        "0::/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-~.scope/container",
        "0::/user.slice/user-1000.slice/user@1000.service/docker/~",
        "0::/user.slice/user-1000.slice/user@1000.service/kubepods.slice/kubepods-pod#.slice/cri-containerd-~.scope",
        "0::/user.slice/user-1000.slice/session-3.scope/kubepods/pod@/~",
        "0::/system.slice/app.service/docker/~",
        "0::/system.slice/app.service/kubepods-pod#.slice:cri-containerd:~",
        "0::/system.slice/docker-short.scope/docker-~.scope",
        "0::/machine.slice/libpod-conmon-~.scope",
        "0::/kubepods.slice/kubepods-pod#.slice/crio-conmon-~.scope",
        "0::/lxc/web/docker/~",
        "0::/~",
        "0::/kubepods/podnone/~",
        "0::/docker/prefix~",
        "0::/docker-~.scope",
    ] {
        let outcome = found(own, &from_the_machine());
        let is_name = own.contains("prefix") || matches!(outcome, Err(ContainerError::Unbelievable(_)));
        assert!(is_name && !matches!(outcome, Ok(Some(_))), "{own}: {outcome:?}");
    }
    for (nested, runtime, pod) in [
        ("0::/docker/~/docker/%", Runtime::Docker, None),
        ("0::/system.slice/docker-~.scope/docker-%.scope", Runtime::Docker, None),
        ("0::/docker/~/kubepods/pod@/%", Runtime::Docker, None),
        ("0::/kubepods/pod@/~/kubepods/podffffffff-ffff-ffff-ffff-ffffffffffff/%", Runtime::Untold, Some(uid())),
        ("0::/kubepods.slice/kubepods-pod#.slice/cri-containerd-~.scope/crio-%.scope", Runtime::Cri, Some(uid())),
    ] {
        assert_eq!(found(nested, &from_the_machine()), Ok(Some((runtime, pod))), "{nested}");
    }
}

#[test]
fn hierarchies_that_disagree_name_no_container() {
    let both = "5:pids:/docker/~\n0::/docker/%";
    assert!(matches!(found(both, &from_the_machine()), Err(ContainerError::Ambiguous(..))));
    // A hierarchy without a container has no say, and of two that agree the one with the pod is the better witness.
    let mixed = "5:pids:/docker/~\n4:memory:/kubepods/pod@/~\n1:cpu:/\n0::/system.slice/containerd.service";
    assert_eq!(found(mixed, &from_the_machine()), Ok(Some((Runtime::Untold, Some(uid())))));
}

#[test]
fn from_a_container_of_our_own_the_others_are_beside_it() {
    for (line, runtime, pod) in [
        ("0::/../crio-~.scope", Runtime::Cri, Some(Pod::Untold)),
        ("0::/../cri-containerd-~.scope/init", Runtime::Cri, Some(Pod::Untold)),
        ("0::/../~", Runtime::Untold, Some(Pod::Untold)),
        ("0::/../../pod@/~", Runtime::Untold, Some(uid())),
        ("0::/../../../besteffort/pod@/~", Runtime::Untold, Some(uid())),
        ("0::/../../kubepods-burstable-pod#.slice/cri-containerd-~.scope", Runtime::Cri, Some(uid())),
        (
            "0::/../../../kubepods-besteffort.slice/kubepods-besteffort-pod#.slice/cri-containerd-~.scope",
            Runtime::Cri,
            Some(uid()),
        ),
        ("0::/../docker-~.scope", Runtime::Docker, None),
        ("0::/../../machine.slice/libpod-~.scope/container", Runtime::Podman, None),
        ("0::/../crio-~.scope/crio-%.scope", Runtime::Cri, Some(Pod::Untold)),
    ] {
        assert_eq!(found(line, &from_a_container()), Ok(Some((runtime, pod))), "{line}");
    }
    for line in ["0::/../../../system.slice/sshd.service", "0::/..", "0::/../.."] {
        assert_eq!(found(line, &from_a_container()), Ok(None), "{line}");
    }
    for line in [
        "0::/../../../user.slice/user-1000.slice/user@1000.service/docker-~.scope",
        "0::/../app.service/~",
        "0::/../x/~",
    ] {
        assert!(matches!(found(line, &from_a_container()), Err(ContainerError::Unbelievable(_))), "{line}");
    }
}

#[test]
fn a_process_in_our_own_container_can_not_name_itself_after_another() {
    for line in ["0::/", "0::/docker/~", "0::/kubepods/pod@/~"] {
        assert_eq!(found(line, &from_a_container()), Err(ContainerError::Ours), "{line}");
    }
}

#[test]
fn pods_of_a_node_that_is_a_container_itself_are_seen_from_a_pod_of_it() {
    let own = ["/docker/%/kubelet/kubepods/besteffort/pod@/aa", "/docker/%/system.slice/containerd.service"];
    let view = View { whole: true, own: own.map(path).to_vec() };
    // kind's nodes have containerd's groups in one hierarchy and only its own in another.
    let cgroups = "1:cpuset:/docker/%/kubelet/kubepods/pod@/~\n0::/docker/%/system.slice/containerd.service";
    assert_eq!(found(cgroups, &view), Ok(Some((Runtime::Untold, Some(uid())))));
    // From outside, all of them are processes of the container that the node is.
    let outside = find(&path(cgroups), &from_the_machine()).unwrap().unwrap();
    assert_eq!((outside.id.as_str(), outside.pod), (OTHER, None));
}

#[test]
fn lines_that_the_kernel_does_not_write_are_refused() {
    for cgroups in ["docker/~", "0::", "0::docker/~", "0:/docker/~", "0::/\n\n"] {
        assert_eq!(found(cgroups, &from_the_machine()), Err(ContainerError::Malformed), "{cgroups:?}");
    }
}

#[test]
fn this_process_itself_is_read() {
    let pid = i32::try_from(std::process::id()).unwrap();
    // Where the tests run in a container, they may well be told that it is their own.
    match Containers::default().of(pid) {
        Ok(_) | Err(ContainerError::Ours | ContainerError::Unbelievable(_)) => {}
        Err(error) => panic!("{error}"),
    }
    assert!(matches!(Containers::default().of(-1), Err(ContainerError::Unreadable(_))));
}

/// Groups that mean something, and some that only look so.
fn group() -> impl Strategy<Value = String> {
    let words = [
        "docker",
        "kubepods",
        "kubelet",
        "burstable",
        "besteffort",
        "libpod_parent",
        "system.slice",
        "user.slice",
        "kubepods.slice",
        "user@1000.service",
        "containerd.service",
        "pod@",
        "podx",
        "~",
        "%",
        "docker-~.scope",
        "docker-%.scope",
        "crio-~.scope",
        "libpod-%.scope",
        "cri-containerd-~.scope",
        "kubepods-pod#.slice",
        "kubepods-burstable-pod#.slice",
        "kubepods-pod#.slice:cri-containerd:~",
        "x:y",
        "..",
        "",
    ];
    prop_oneof![prop::sample::select(words.to_vec()).prop_map(path), "[a-f0-9:.~@/-]{0,80}", any::<String>()]
}

proptest! {
    /// Whatever the names are, there is no panic, and what is found is literally in a path.
    #[test]
    fn no_control_group_breaks_the_reading(
        groups in prop::collection::vec(group(), 0..8),
        own in prop::collection::vec(group(), 0..5),
        whole: bool,
    ) {
        let (line, view) = (format!("0::/{}", groups.join("/")), View { whole, own: vec![format!("/{}", own.join("/"))] });
        if let Ok(Some(found)) = find(&line, &view) {
            prop_assert!(line.contains(found.id.as_str()));
        }
    }

    /// What a process does below a group that was handed over to it changes nothing about who it is.
    #[test]
    fn nothing_below_a_group_that_was_handed_over_counts(groups in prop::collection::vec(group(), 0..8)) {
        let below = groups.join("/");
        prop_assume!(!below.contains('\n'));
        let container = |prefix: &str| find(&path(&format!("0::{prefix}/{below}")), &from_the_machine());
        for user in ["/user.slice/user-1000.slice/user@1000.service", "/system.slice/app.service", "/lxc/web"] {
            prop_assert!(!matches!(container(user), Ok(Some(_))));
        }
        for known in ["/docker/~", "/system.slice/docker-~.scope", "/kubepods/pod@/~"] {
            let found = container(known).unwrap().unwrap();
            prop_assert_eq!(found.id.as_str(), C);
        }
    }
}
