//! The bytes of a recipe. Numbers as in [`wire`](crate::wire), methods as in [`method`](crate::method), flushes as in
//! [`flushes`](super::flushes).
//!
//! ```text
//! 1                                     version
//! stored length, number of members
//! count, headers …                      1 to 9: a template │ 0, length, bytes
//! count, methods …
//! count, flushes …
//! columns: header, method, flushes      places in the tables
//!          plain length                 a column is a list of runs:  value × 2           one member
//!                                                                   value × 2 + 1, n    n + 2 members
//! tail: count, [ zeros, length, bytes ] …
//! ```

use super::header::{MAX_HEADER, TEMPLATES};
use super::tail::{Piece, is_canonical};
use super::{Flushes, Header, MAX_LENGTH, Recipe, RecipeError, Run, header};
use crate::method::Method;
use crate::wire::{Input, put_number};

const VERSION: u8 = 1;

const fn invalid(what: &'static str) -> RecipeError {
    RecipeError::Invalid { what }
}

pub(super) fn write(recipe: &Recipe) -> Vec<u8> {
    let mut out = vec![VERSION];
    put_number(recipe.stored_len, &mut out);
    put_number(recipe.member_count(), &mut out);
    put_number(recipe.headers.len() as u64, &mut out);
    recipe.headers.iter().for_each(|header| write_header(header, &mut out));
    put_number(recipe.methods.len() as u64, &mut out);
    recipe.methods.iter().for_each(|method| method.write(&mut out));
    put_number(recipe.flushes.len() as u64, &mut out);
    recipe.flushes.iter().for_each(|flushes| flushes.write(&mut out));
    for value in COLUMNS {
        write_column(recipe.runs.iter().map(|run| (run.count, value(run))), &mut out);
    }
    put_number(recipe.tail.len() as u64, &mut out);
    for piece in &recipe.tail {
        put_number(piece.zeros, &mut out);
        put_number(piece.bytes.len() as u64, &mut out);
        out.extend_from_slice(&piece.bytes);
    }
    out
}

/// The columns in their order.
const COLUMNS: [fn(&Run) -> u64; 4] =
    [|run| run.header.into(), |run| run.method.into(), |run| run.flushes.into(), |run| run.plain_len];

fn write_header(header: &[u8], out: &mut Vec<u8>) {
    if let Some(template) = TEMPLATES.iter().position(|template| template == header) {
        out.push(template as u8 + 1);
    } else {
        out.push(0);
        put_number(header.len() as u64, out);
        out.extend_from_slice(header);
    }
}

fn write_column(runs: impl Iterator<Item = (u64, u64)>, out: &mut Vec<u8>) {
    let mut put = |(count, value): (u64, u64)| match count {
        0 => {}
        1 => put_number(value << 1, out),
        _ => {
            put_number(value << 1 | 1, out);
            put_number(count - 2, out);
        }
    };
    let mut current = (0, 0);
    for (count, value) in runs {
        if current.1 == value {
            current.0 += count;
        } else {
            put(current);
            current = (count, value);
        }
    }
    put(current);
}

pub(super) fn parse(bytes: &[u8]) -> Result<Recipe, RecipeError> {
    let mut input = Input(bytes);
    let version = input.byte()?;
    if version != VERSION {
        return Err(RecipeError::UnknownVersion { version });
    }
    let stored_len = input.number()?;
    let members = input.number()?;
    if stored_len >= MAX_LENGTH || members == 0 || members > stored_len {
        return Err(invalid("length"));
    }
    let headers = table(&mut input, parse_header)?;
    let methods = table(&mut input, |input| Ok(Method::parse(input)?))?;
    let flushes = table(&mut input, Flushes::parse)?;
    let mut columns = [const { Vec::new() }; 4];
    for column in &mut columns {
        *column = parse_column(&mut input, members)?;
    }
    let runs = join(&columns)?;
    let tail = table(&mut input, |input| {
        let zeros = input.number()?;
        let length = input.number()?;
        Ok(Piece { zeros, bytes: input.bytes(length)?.to_vec() })
    })?;
    if !input.0.is_empty() {
        return Err(invalid("bytes behind its end"));
    }
    let mut recipe = Recipe { stored_len, plain_len: 0, headers, methods, flushes, runs, tail };
    check(&recipe)?;
    recipe.plain_len = recipe.sum_plain().ok_or(invalid("length"))?;
    if recipe.least_stored().is_none_or(|least| least > stored_len) {
        return Err(invalid("length"));
    }
    // Whatever else could be written in two ways.
    if write(&recipe) == bytes { Ok(recipe) } else { Err(invalid("form")) }
}

/// A count and as many items, each at least a byte long.
fn table<T>(
    input: &mut Input,
    item: impl Fn(&mut Input) -> Result<T, RecipeError>,
) -> Result<Vec<T>, RecipeError> {
    let count = input.number()?;
    if count > input.0.len() as u64 {
        return Err(RecipeError::Truncated);
    }
    (0..count).map(|_| item(input)).collect()
}

fn parse_header(input: &mut Input) -> Result<Vec<u8>, RecipeError> {
    match usize::from(input.byte()?) {
        0 => {
            let length = input.number()?;
            if length > MAX_HEADER as u64 {
                return Err(invalid("header"));
            }
            let bytes = input.bytes(length)?;
            if header(bytes) == Header::Complete(bytes.len()) {
                Ok(bytes.to_vec())
            } else {
                Err(invalid("header"))
            }
        }
        template => TEMPLATES.get(template - 1).map(|header| header.to_vec()).ok_or(invalid("header")),
    }
}

fn parse_column(input: &mut Input, members: u64) -> Result<Vec<(u64, u64)>, RecipeError> {
    let (mut runs, mut left) = (Vec::new(), members);
    while left > 0 {
        let value = input.number()?;
        let count = if value & 1 == 0 { 1 } else { input.number()?.saturating_add(2) };
        left = left.checked_sub(count).ok_or(invalid("column"))?;
        runs.push((count, value >> 1));
    }
    Ok(runs)
}

/// Cuts the members wherever a column changes.
fn join(columns: &[Vec<(u64, u64)>; 4]) -> Result<Vec<Run>, RecipeError> {
    let mut rest = columns.each_ref().map(|column| column.iter().copied().peekable());
    let mut runs = Vec::new();
    while rest[0].peek().is_some() {
        let mut heads = [(0, 0); 4];
        for (head, column) in heads.iter_mut().zip(&mut rest) {
            *head = *column.peek().ok_or(invalid("column"))?;
        }
        let count = heads.iter().map(|head| head.0).min().unwrap_or(0);
        for column in &mut rest {
            match column.peek_mut() {
                Some(head) if head.0 > count => head.0 -= count,
                _ => drop(column.next()),
            }
        }
        let place = |value| u32::try_from(value).map_err(|_| invalid("column"));
        let [header, method, flushes, (_, plain_len)] = heads;
        let (header, method, flushes) = (place(header.1)?, place(method.1)?, place(flushes.1)?);
        runs.push(Run { count, header, method, flushes, plain_len });
    }
    Ok(runs)
}

/// What the single parts could not know of each other.
fn check(recipe: &Recipe) -> Result<(), RecipeError> {
    let places = |place: fn(&Run) -> u32| recipe.runs.iter().map(place);
    let tables = [recipe.headers.len(), recipe.methods.len(), recipe.flushes.len()];
    let used = [
        in_order(places(|run| run.header)),
        in_order(places(|run| run.method)),
        in_order(places(|run| run.flushes)),
    ];
    if used != tables.map(Some) {
        return Err(invalid("order of a table"));
    }
    let distinct = is_distinct(&recipe.headers)
        && is_distinct(&recipe.flushes)
        && recipe
            .methods
            .iter()
            .enumerate()
            .all(|(i, method)| i < 256 && !recipe.methods[..i].contains(method));
    if !distinct {
        return Err(invalid("table with something twice"));
    }
    for run in &recipe.runs {
        let member = recipe.member(run).ok_or(invalid("column"))?;
        let none = *member.flushes == Flushes::default();
        if !(none || member.method.can_flush()) || !member.flushes.fit(member.plain_len) {
            return Err(invalid("flushes"));
        }
    }
    if is_canonical(&recipe.tail) { Ok(()) } else { Err(invalid("tail")) }
}

/// How many different places there are, when each new one is the next.
fn in_order(places: impl Iterator<Item = u32>) -> Option<usize> {
    let mut next = 0;
    for place in places {
        if place > next {
            return None;
        }
        next = next.max(place + 1);
    }
    Some(next as usize)
}

fn is_distinct<T: Ord>(table: &[T]) -> bool {
    let mut sorted: Vec<&T> = table.iter().collect();
    sorted.sort();
    sorted.windows(2).all(|pair| pair[0] != pair[1])
}
