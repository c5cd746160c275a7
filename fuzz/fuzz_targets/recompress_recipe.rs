//! Any bytes as a recipe: no panic, one form, and a stream that never gets longer than declared.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../src/recompress_recipe.rs"]
mod property;

fuzz_target!(|bytes: &[u8]| property::check(bytes));
