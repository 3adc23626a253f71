//! Zipf-distributed ranks by rejection-inversion (Hörmann and Derflinger, 1996, "Rejection-inversion
//! to generate variates from monotone discrete distributions"): exact for any exponent, and no table
//! over the keys, so that five million keys start as fast as ten.

use crate::random::Random;

#[derive(Clone, Debug)]
pub struct Zipf {
    count: f64,
    theta: f64,
    /// Integral of x^-theta from 1 to 1.5, less the first rank's weight; and to count + 0.5.
    integral_first: f64,
    integral_last: f64,
    threshold: f64,
}

impl Zipf {
    /// Ranks 0 to `count - 1`, the first the most frequent; rank r with weight (r + 1)^-theta.
    pub fn new(count: u32, theta: f64) -> Self {
        let count = f64::from(count);
        let integral_last = integral(count + 0.5, theta);
        Self {
            count,
            theta,
            integral_first: integral(1.5, theta) - 1.0,
            integral_last,
            threshold: 2.0 - inverse(integral(2.5, theta) - 2_f64.powf(-theta), theta),
        }
    }

    /// Of a rank, as against that of the first, which has 1.
    pub fn weight(&self, rank: u32) -> f64 {
        (f64::from(rank) + 1.0).powf(-self.theta)
    }

    #[inline]
    pub fn draw(&self, random: &mut Random) -> u32 {
        loop {
            let area =
                self.integral_last + random.fraction() * (self.integral_first - self.integral_last);
            let at = inverse(area, self.theta);
            let rank = (at + 0.5).floor().clamp(1.0, self.count);
            let is_under = rank - at <= self.threshold
                || area >= integral(rank + 0.5, self.theta) - rank.powf(-self.theta);
            if is_under {
                return rank as u32 - 1;
            }
        }
    }
}

/// The integral of x^-theta from 1 to `x`, exact where theta is close to 1.
fn integral(x: f64, theta: f64) -> f64 {
    let log = x.ln();
    expm1_over(log * (1.0 - theta)) * log
}

fn inverse(area: f64, theta: f64) -> f64 {
    let scaled = (area * (1.0 - theta)).max(-1.0);
    (ln1p_over(scaled) * area).exp()
}

/// (e^x - 1) / x
fn expm1_over(x: f64) -> f64 {
    if x.abs() > 1e-8 {
        x.exp_m1() / x
    } else {
        1.0 + x / 2.0 * (1.0 + x / 3.0)
    }
}

/// ln(1 + x) / x
fn ln1p_over(x: f64) -> f64 {
    if x.abs() > 1e-8 {
        x.ln_1p() / x
    } else {
        1.0 - x * (0.5 - x / 3.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Shares of the first ranks against their weights.
    fn check(count: u32, theta: f64) {
        let zipf = Zipf::new(count, theta);
        let mut random = Random::new(42, 0);
        let draws = 400_000;
        let mut seen = vec![0_u32; count as usize];
        for _ in 0..draws {
            seen[zipf.draw(&mut random) as usize] += 1;
        }
        let total: f64 = (1..=count).map(|rank| f64::from(rank).powf(-theta)).sum();
        for rank in 1..=count.min(20) {
            let share = f64::from(rank).powf(-theta) / total;
            let expected = share * f64::from(draws);
            let deviation = (expected * (1.0 - share)).sqrt();
            let off = (f64::from(seen[rank as usize - 1]) - expected).abs();
            assert!(
                off < 5.0 * deviation + 1.0,
                "rank {rank} of {count} at {theta}: off by {off}"
            );
        }
    }

    #[test]
    fn shares_follow_the_weights() {
        for theta in [0.3, 0.99, 1.0, 1.2, 3.0] {
            check(1000, theta);
        }
        check(2, 0.99);
        check(1, 0.99);
    }

    #[test]
    fn the_last_rank_is_drawn_and_none_beyond() {
        let zipf = Zipf::new(10, 0.5);
        let mut random = Random::new(1, 1);
        let ranks: Vec<u32> = (0..10_000).map(|_| zipf.draw(&mut random)).collect();
        assert_eq!(ranks.iter().max(), Some(&9));
        assert_eq!(ranks.iter().min(), Some(&0));
    }
}
