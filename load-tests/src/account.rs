//! What the kernel says a process has used: `/proc/PID/stat` and `/proc/PID/status` (proc(5)).

use std::time::Duration;

use serde::Serialize;

use crate::Failure;

/// What one process used while something was measured.
#[derive(Clone, Debug, Serialize)]
pub struct Usage {
    /// Its process id.
    pub pid: u32,
    /// Processor time in user and kernel mode, of all its threads, in seconds.
    pub cpu_s: f64,
    /// Resident memory at the end, in bytes.
    pub resident: u64,
    /// The most resident memory that it ever had, in bytes.
    pub resident_peak: u64,
}

/// What processes had used at one moment.
#[derive(Debug)]
pub struct Mark(Vec<(u32, Duration)>);

impl Mark {
    /// Takes it down for these processes.
    ///
    /// # Errors
    /// [`Failure`] if one of them is gone.
    pub fn of(pids: &[u32]) -> Result<Self, Failure> {
        pids.iter().map(|pid| Ok((*pid, cpu_time(*pid)?))).collect::<Result<_, _>>().map(Self)
    }

    /// What they have used from then to `later`.
    ///
    /// # Errors
    /// [`Failure`] if one of them is gone.
    pub fn until(&self, later: &Self) -> Result<Vec<Usage>, Failure> {
        let both = self.0.iter().zip(&later.0);
        both.map(|((pid, before), (_, after))| {
            let status = read(*pid, "status")?;
            Ok(Usage {
                pid: *pid,
                cpu_s: after.saturating_sub(*before).as_secs_f64(),
                resident: kilobytes(&status, "VmRSS:"),
                resident_peak: kilobytes(&status, "VmHWM:"),
            })
        })
        .collect()
    }
}

fn cpu_time(pid: u32) -> Result<Duration, Failure> {
    let stat = read(pid, "stat")?;
    let ticks = ticks(&stat).ok_or_else(|| Failure::new(format_args!("reading /proc/{pid}/stat"), "odd"))?;
    let hertz = rustix::param::clock_ticks_per_second().max(1);
    Ok(Duration::from_micros(ticks.saturating_mul(1_000_000) / hertz))
}

/// `utime` and `stime`, fields 14 and 15. The second field, a name in parentheses, can hold anything.
fn ticks(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11);
    let (user, system) = (fields.next()?, fields.next()?);
    Some(user.parse::<u64>().ok()? + system.parse::<u64>().ok()?)
}

fn kilobytes(status: &str, name: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) * 1024
}

fn read(pid: u32, file: &str) -> Result<String, Failure> {
    let path = format!("/proc/{pid}/{file}");
    std::fs::read_to_string(&path).map_err(|error| Failure::new(format_args!("reading {path}"), error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_spaces_and_parentheses_moves_no_field() {
        let stat = "7 (a) b (c)) S 1 7 7 0 -1 4194560 1 0 0 0 250 50 3 4 20 0 9 0 8 9";
        assert_eq!(ticks(stat), Some(300));
        assert_eq!(ticks("7 (a) S 1"), None);
    }

    #[test]
    fn a_process_that_works_uses_time() {
        let me = [std::process::id()];
        let before = Mark::of(&me).unwrap();
        let mut sum = 0_u64;
        let used = loop {
            sum = (0..1_000_000_u64).fold(sum, |sum, n| sum.wrapping_mul(31).wrapping_add(std::hint::black_box(n)));
            let used = before.until(&Mark::of(&me).unwrap()).unwrap();
            if used[0].cpu_s > 0.0 {
                break used;
            }
        };
        assert!(used[0].resident > 0 && used[0].resident_peak >= used[0].resident, "{used:?} {sum}");
    }

    #[test]
    fn a_process_that_is_gone_is_an_error() {
        assert!(Mark::of(&[u32::MAX]).is_err());
    }
}
