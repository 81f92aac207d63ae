//! How long a call may wait, and what comes of it within that time.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, timeout_at};
use tonic::codegen::http;

/// The answer goes out so much before the deadline, or a twentieth of it.
const MARGIN: Duration = Duration::from_millis(20);

/// What comes of it, if it comes in time; otherwise what is wrong. A fault in this program is one,
/// too.
pub(super) async fn in_time<T>(
    patience: Duration,
    future: impl Future<Output = Result<T, String>> + Unpin,
) -> Result<T, String> {
    match timeout_at(Instant::now() + patience, Caught(future)).await {
        Ok(Some(done)) => done,
        Ok(None) => Err("this program failed".to_owned()),
        Err(_) => Err(format!("was not answered within {patience:?}")),
    }
}

/// Ends with `None` where the future panics.
struct Caught<F>(F);

impl<F: Future + Unpin> Future for Caught<F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<F::Output>> {
        let future = Pin::new(&mut self.0);
        catch_unwind(AssertUnwindSafe(|| future.poll(cx))).map_or(Poll::Ready(None), |polled| polled.map(Some))
    }
}

/// How long a call may wait: within the policy's deadline, and within the broker's.
pub(super) fn patience(deadline: Duration, headers: &http::HeaderMap) -> Duration {
    let timeout = headers.get("grpc-timeout").and_then(|value| timeout(value.to_str().ok()?));
    let longest = timeout.map_or(deadline, |timeout| deadline.min(timeout));
    longest.saturating_sub(MARGIN.min(longest / 20))
}

/// The value of `grpc-timeout`: at most eight digits and a unit.
fn timeout(value: &str) -> Option<Duration> {
    let (digits, unit) = value.split_at_checked(value.len().checked_sub(1)?)?;
    let count: u32 = digits.parse().ok()?;
    let unit = match unit {
        "H" => Duration::from_secs(3600),
        "M" => Duration::from_secs(60),
        "S" => Duration::from_secs(1),
        "m" => Duration::from_millis(1),
        "u" => Duration::from_micros(1),
        "n" => Duration::from_nanos(1),
        _ => return None,
    };
    unit.checked_mul(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_patience(header: Option<&'static str>, expected: Duration) {
        let mut headers = http::HeaderMap::new();
        if let Some(header) = header {
            headers.insert("grpc-timeout", http::HeaderValue::from_static(header));
        }
        assert_eq!(patience(Duration::from_secs(2), &headers), expected, "{header:?}");
    }

    #[test]
    fn the_answer_comes_within_both_deadlines() {
        check_patience(None, Duration::from_millis(1980));
        check_patience(Some("5S"), Duration::from_millis(1980));
        check_patience(Some("1S"), Duration::from_millis(980));
        check_patience(Some("100m"), Duration::from_millis(95));
        check_patience(Some("1000u"), Duration::from_micros(950));
        check_patience(Some("0m"), Duration::ZERO);
        for nothing in ["", "m", "5", "5x", "é", "99999999999S", "-1S"] {
            check_patience(Some(nothing).filter(|text| text.is_ascii()), Duration::from_millis(1980));
        }
        check_patience(Some("99999999H"), Duration::from_millis(1980));
    }
}
