//! Tables in Markdown.

use std::io::{self, Write};
use std::time::Duration;

use crate::case::{Case, RawVariant};
use crate::idle::Idle;
use crate::measure::{Measured, Sample};

/// The head of the table of cases.
///
/// # Errors
///
/// If `out` fails.
pub fn head(out: &mut impl Write) -> io::Result<()> {
    writeln!(
        out,
        "| case | broker us/request | CPU s/GB | requests/s | MB/s | raw loop us/request | ratio (range) | goal | \
         syscalls/request | allocations/request |\n| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
    )
}

/// One line of the table of cases.
///
/// The ratio is the raw loop's CPU time to the broker's: the median over the pairs, with the least and the greatest.
///
/// # Errors
///
/// If `out` fails.
pub fn line(out: &mut impl Write, case: &Case, measured: &Measured, allocations: f64) -> io::Result<()> {
    let Measured { pairs, raw, requests, request_bytes, syscalls } = measured;
    let requests = *requests as f64;
    let us = |pick: fn(&(Sample, Sample)) -> Duration| {
        median(pairs.iter().map(|pair| pick(pair).as_secs_f64() * 1e6 / requests).collect())
    };
    let broker = us(|(broker, _)| broker.cpu);
    let raw_us = us(|(_, raw)| raw.cpu);
    let rate = 1e6 / us(|(broker, _)| broker.wall);
    let ratios = ratios(pairs);
    let ratio = median(ratios.clone());
    let (least, most) = ratios.iter().fold((f64::INFINITY, 0.0_f64), |(a, b), r| (a.min(*r), b.max(*r)));
    let goal = match case.goal {
        None => "-".into(),
        Some(goal) if ratio >= goal => format!("{:.0} % met", goal * 100.0),
        Some(goal) => format!("{:.0} % missed", goal * 100.0),
    };
    let way = match raw {
        RawVariant::Produce(pattern) => format!("{pattern:?}").to_lowercase(),
        RawVariant::Fetch(sending) => format!("{sending:?}").to_lowercase(),
    };
    let syscalls = syscalls.map_or_else(|| "not measured".into(), |count| format!("{count:.2}"));
    writeln!(
        out,
        "| {} | {broker:.1} | {:.3} | {rate:.0} | {:.0} | {raw_us:.1} ({way}) | {:.0} % ({:.0} to {:.0}) | {goal} | {} | {allocations:.3} |",
        case.name(),
        broker * 1e3 / *request_bytes as f64,
        rate * *request_bytes as f64 / 1e6,
        ratio * 100.0,
        least * 100.0,
        most * 100.0,
        syscalls,
    )
}

/// The table of start-up and idle figures.
///
/// # Errors
///
/// If `out` fails.
pub fn idle(out: &mut impl Write, idle: &Idle) -> io::Result<()> {
    let Idle { start, start_cpu, resident_bytes, cpu_share } = idle;
    let ms = |time: &Duration| time.as_secs_f64() * 1e3;
    writeln!(out, "| what | measured | goal |\n| --- | ---: | ---: |")?;
    writeln!(out, "| start to first answered Metadata | {:.1} ms | < 50 ms |", ms(start))?;
    writeln!(out, "| CPU time until then | {:.1} ms | < 20 ms |", ms(start_cpu))?;
    writeln!(out, "| idle memory (RSS) | {:.1} MB | < 20 MB |", *resident_bytes as f64 / 1e6)?;
    writeln!(out, "| idle CPU | {:.3} % | < 0.1 % |", cpu_share * 100.0)
}

fn ratios(pairs: &[(Sample, Sample)]) -> Vec<f64> {
    pairs.iter().map(|(broker, raw)| raw.cpu.as_secs_f64() / broker.cpu.as_secs_f64()).collect()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 { values[middle] } else { f64::midpoint(values[middle - 1], values[middle]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_number_lies_between_the_middle_ones() {
        assert_eq!(median(vec![4.0, 1.0, 3.0]).to_bits(), 3.0_f64.to_bits());
        assert_eq!(median(vec![4.0, 1.0, 3.0, 2.0]).to_bits(), 2.5_f64.to_bits());
    }
}
