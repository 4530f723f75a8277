//! What a Check costs the server, in CPU time: `make bench`.
//!
//! Three servers answer the same question of the same client, in turns: a bare tonic server that decodes it and always
//! allows, our front with nothing behind it, and the whole gateway, which verifies, decides and records. Each is a process
//! of its own, whose CPU time the kernel keeps. Machines differ and are noisy: read the ratios.

#![expect(clippy::unwrap_used, clippy::print_stdout, clippy::panic, reason = "a program of its own, for people")]

#[path = "../identity/gateway.rs"]
#[expect(dead_code, reason = "the other bench needs more of it")]
mod gateway;
mod leaf;
mod load;
mod peers;
mod question;

use std::path::Path;

use self::gateway::Gateway;
use self::load::Load;
use self::peers::Peer;

/// As in the binary.
#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, serve, what, socket] = &arguments[..]
        && serve == "serve"
    {
        return match what.as_str() {
            "tonic" => peers::serve_tonic(Path::new(socket)).await,
            "front" => peers::serve(Path::new(socket), peers::permit()).await,
            other => panic!("there is no `{other}`"),
        };
    }
    // `cargo test --benches` runs this too, to see that it works; `cargo bench` passes `--bench`.
    let in_earnest = arguments.iter().any(|argument| argument == "--bench");
    let (rounds, checks) = if in_earnest { (5, 50_000) } else { (1, 200) };
    let gateway = Gateway::start().await;
    gateway.register("web").await;
    let frame = question::framed(&leaf::of_ours(&gateway).await);
    let (tonic, front) = (Peer::start(&["tonic"]).await, Peer::start(&["front"]).await);
    println!(
        "{} checks of {} bytes, 64 at a time over 2 Unix sockets, in {rounds} turns",
        rounds * checks,
        frame.len()
    );
    let mut measured = [
        ("tonic, nothing behind it", tonic.socket(), tonic.pid(), Load::default()),
        ("our front, nothing behind it", front.socket(), front.pid(), Load::default()),
        ("the gateway, answer in its cache", gateway.socket("ext_authz.sock"), gateway.pid(), Load::default()),
    ];
    for _ in 0..rounds {
        for (_, socket, pid, load) in &mut measured {
            load.run(socket, *pid, &frame, checks).await;
        }
    }
    let tonic = &measured[0].3;
    for (name, _, _, load) in &measured {
        let (cpu, share) = (load.cpu_micros(), load.share_of(tonic));
        let more = cpu / tonic.cpu_micros();
        println!(
            "  {name}: {cpu:.1} us of CPU each, {more:.2} of tonic's; {:.0} a second, {share:.2}",
            load.a_second()
        );
    }
}
