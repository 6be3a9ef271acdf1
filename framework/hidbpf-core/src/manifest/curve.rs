//! Curves: the values of options that are tables. Users write points, and programs read a table of interpolated values.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Points of a curve, each x and y. Between two points the curve is a straight line, and beyond the outer ones it is
/// flat.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Curve(pub Vec<(i64, i64)>);

/// The form of a table, as the manifest declares it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// The x of its first value.
    pub first: i32,
    /// The x of its last value.
    pub last: i32,
    /// The number of values: 2 or more, so that [`Shape::step`] is a whole number.
    pub size: u32,
    /// The lowest valid y.
    pub min: i32,
    /// The highest valid y.
    pub max: i32,
}

impl Shape {
    /// The maximum number of values.
    pub const MAX_SIZE: u32 = 4096;

    /// The number of bytes before the values in the variable: the x of the first value, and the step.
    const HEADER: usize = 8;

    /// Returns the size of the variable, in bytes.
    pub fn bytes(&self) -> usize {
        Shape::HEADER + self.size as usize * 4
    }

    /// Returns the difference between the x of two neighbours in the table.
    ///
    /// # Errors
    /// It is not a whole number above 0, or the table has too few or too many values.
    pub fn step(&self) -> Result<u32, String> {
        let span = i64::from(self.last) - i64::from(self.first);
        if !(2..=Shape::MAX_SIZE).contains(&self.size) {
            return Err(format!("its `size` is {}, expected 2 to {}", self.size, Shape::MAX_SIZE));
        }
        let parts = i64::from(self.size) - 1;
        match u32::try_from(span / parts) {
            Ok(step) if span > 0 && span % parts == 0 => Ok(step),
            _ => Err(format!(
                "its `inputs` from {} to {} are not divided by {} values into equal steps of a whole number",
                self.first, self.last, self.size
            )),
        }
    }
}

impl fmt::Display for Curve {
    /// Writes the curve as users type it: `0:0,64:20,255:255`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (x, y)) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma}{x}:{y}")?;
        }
        Ok(())
    }
}

impl Curve {
    /// The maximum number of points.
    const MAX_POINTS: usize = 256;

    /// Parses a curve as users type it.
    pub fn parse(text: &str) -> Option<Curve> {
        let point = |point: &str| {
            let (x, y) = point.split_once(':')?;
            Some((x.trim().parse().ok()?, y.trim().parse().ok()?))
        };
        text.split(',').map(point).collect::<Option<_>>().map(Curve)
    }

    /// Returns the curve as TOML has it: `[[0, 0], [255, 255]]`.
    pub fn to_toml(&self) -> String {
        let points: Vec<String> = self.0.iter().map(|(x, y)| format!("[{x}, {y}]")).collect();
        format!("[{}]", points.join(", "))
    }

    /// Checks the order of the points, and that they are in the table's ranges.
    ///
    /// # Errors
    /// The text names the first invalid point, counted from 1.
    pub fn check(&self, shape: &Shape) -> Result<(), String> {
        let Shape { first, last, min, max, .. } = *shape;
        if !(2..=Curve::MAX_POINTS).contains(&self.0.len()) {
            return Err(format!("it has {} points, expected 2 to {}", self.0.len(), Curve::MAX_POINTS));
        }
        let mut before = None;
        for (index, (x, y)) in self.0.iter().enumerate() {
            let wrong = if !(first.into()..=last.into()).contains(x) {
                format!("x must be from {first} to {last}")
            } else if before.is_some_and(|before| *x <= before) {
                "x must be higher than that of the point before".to_owned()
            } else if !(min.into()..=max.into()).contains(y) {
                format!("y must be from {min} to {max}")
            } else {
                before = Some(*x);
                continue;
            };
            return Err(format!("invalid point {} ({x}:{y}): {wrong}", index + 1));
        }
        Ok(())
    }

    /// Returns the bytes of the variable: the x of the first value, the step, and the values. The curve was checked.
    pub fn bytes(&self, shape: &Shape, step: u32) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(shape.bytes());
        bytes.extend(shape.first.to_le_bytes());
        bytes.extend(step.to_le_bytes());
        let mut next = 0;
        for index in 0..i64::from(shape.size) {
            let x = i64::from(shape.first) + index * i64::from(step);
            while self.0.get(next).is_some_and(|(at, _)| *at < x) {
                next += 1;
            }
            let after = self.0.get(next).copied();
            let y = match (next.checked_sub(1).and_then(|before| self.0.get(before)).copied(), after) {
                (Some(before), Some(after)) => between(before, after, x),
                (Some((_, y)), None) | (None, Some((_, y))) => y,
                (None, None) => 0,
            };
            bytes.extend((y as i32).to_le_bytes());
        }
        bytes
    }

    /// Returns the curve of a variable's bytes: the points at which the steps between the values change. Returns `None`
    /// for bytes that are not a table of this shape.
    pub fn of_bytes(shape: &Shape, step: u32, bytes: &[u8]) -> Option<Curve> {
        if bytes.len() != shape.bytes() {
            return None;
        }
        let (header, values) = bytes.split_at(Shape::HEADER);
        let values: Vec<i64> = values
            .chunks_exact(4)
            .map(|value| i32::from_le_bytes([value[0], value[1], value[2], value[3]]).into())
            .collect();
        let is_valid = header == [shape.first.to_le_bytes(), step.to_le_bytes()].concat()
            && values.iter().all(|value| (shape.min.into()..=shape.max.into()).contains(value));
        let is_corner = |index: usize| {
            let around = index.checked_sub(1).and_then(|before| Some((values.get(before)?, values.get(index + 1)?)));
            around.is_none_or(|(before, after)| values[index] - before != after - values[index])
        };
        let x = |index: usize| i64::from(shape.first) + index as i64 * i64::from(step);
        let corners = (0..values.len()).filter(|index| is_corner(*index));
        is_valid.then(|| Curve(corners.map(|index| (x(index), values[index])).collect()))
    }
}

/// Returns the y of a point on the line between two points, rounded to the nearest.
fn between(before: (i64, i64), after: (i64, i64), x: i64) -> i64 {
    // All numbers fit 33 bits, but not their product.
    let wide = i128::from;
    let (run, rise) = (wide(after.0 - before.0), wide(after.1 - before.1));
    let twice = 2 * rise * wide(x - before.0) + run;
    before.1 + twice.div_euclid(2 * run) as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: Shape = Shape { first: 0, last: 8, size: 9, min: 0, max: 255 };

    fn values(curve: &Curve, shape: &Shape) -> Vec<i32> {
        let bytes = curve.bytes(shape, shape.step().unwrap());
        assert_eq!(bytes.len(), shape.bytes());
        bytes[8..].chunks(4).map(|value| i32::from_le_bytes(value.try_into().unwrap())).collect()
    }

    #[test]
    fn a_table_has_the_values_between_the_points() {
        let curve = Curve::parse("0:0,4:20,8:255").unwrap();
        assert_eq!(values(&curve, &SHAPE), [0, 5, 10, 15, 20, 79, 138, 196, 255]);
        let coarse = Shape { size: 3, ..SHAPE };
        assert_eq!(values(&curve, &coarse), [0, 20, 255]);
        // A curve is flat beyond its points, and may fall.
        assert_eq!(values(&Curve::parse("2:9, 5:3").unwrap(), &SHAPE), [9, 9, 9, 7, 5, 3, 3, 3, 3]);
        let wide = Shape { first: i32::MIN, last: i32::MAX, size: 4, min: i32::MIN, max: i32::MAX };
        let line = Curve(vec![(i32::MIN.into(), i32::MIN.into()), (i32::MAX.into(), i32::MAX.into())]);
        assert_eq!(values(&line, &wide), [i32::MIN, -715_827_883, 715_827_882, i32::MAX]);
    }

    #[test]
    fn a_table_is_read_back() {
        for (text, shape) in
            [("0:0,4:20,8:255", Shape { size: 3, ..SHAPE }), ("0:8,8:0", SHAPE), ("0:1,3:4,8:4", SHAPE)]
        {
            let curve = Curve::parse(text).unwrap();
            let step = shape.step().unwrap();
            let bytes = curve.bytes(&shape, step);
            let read = Curve::of_bytes(&shape, step, &bytes).unwrap();
            assert_eq!(read.to_string(), text);
            assert_eq!(Curve::of_bytes(&shape, step + 1, &bytes), None);
            assert_eq!(Curve::of_bytes(&Shape { max: 3, ..shape }, step, &bytes), None);
            assert_eq!(Curve::of_bytes(&shape, step, &bytes[4..]), None);
        }
        assert_eq!(Curve::parse("0:0,4:20").unwrap().to_toml(), "[[0, 0], [4, 20]]");
    }

    #[test]
    fn what_is_no_curve_is_refused() {
        for text in ["", "1", "1:", "0:0,", "0:0;1:1", "0:0,1.5:1", "0:0:0"] {
            assert_eq!(Curve::parse(text), None, "{text}");
        }
        for (text, words) in [
            ("0:0", "it has 1 points, expected 2 to 256"),
            ("0:0,0:1", "invalid point 2 (0:1): x must be higher"),
            ("1:0,0:1", "invalid point 2 (0:1): x must be higher"),
            ("0:0,9:1", "invalid point 2 (9:1): x must be from 0 to 8"),
            ("0:-1,8:1", "invalid point 1 (0:-1): y must be from 0 to 255"),
            ("0:0,8:9223372036854775807", "y must be from 0 to 255"),
        ] {
            let error = Curve::parse(text).unwrap().check(&SHAPE).unwrap_err();
            assert!(error.contains(words), "{text}: {error}");
        }
        for (last, size) in [(8, 1), (8, 4), (0, 2), (-8, 2), (8, 5000)] {
            assert!(Shape { last, size, ..SHAPE }.step().is_err(), "{last} {size}");
        }
    }
}
