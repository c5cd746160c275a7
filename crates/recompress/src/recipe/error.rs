//! Why bytes are no recipe.

use crate::method::MethodError;
use crate::wire::WireError;

/// Why bytes are no recipe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RecipeError {
    /// They end too soon.
    #[error("the recipe ends early")]
    Truncated,
    /// A later version of the format.
    #[error("recipe of unknown version {version}")]
    UnknownVersion {
        /// The first byte.
        version: u8,
    },
    /// An encoder that came later.
    #[error("recipe with unknown method {number}")]
    UnknownMethod {
        /// Its number.
        number: u8,
    },
    /// A value that makes no sense, or is not written in the one form that there is.
    #[error("recipe with invalid {what}")]
    Invalid {
        /// The part of the recipe.
        what: &'static str,
    },
}

impl From<WireError> for RecipeError {
    fn from(error: WireError) -> Self {
        match error {
            WireError::Short => Self::Truncated,
            WireError::Number => Self::Invalid { what: "number" },
        }
    }
}

impl From<MethodError> for RecipeError {
    fn from(error: MethodError) -> Self {
        match error {
            MethodError::Wire(error) => error.into(),
            MethodError::Unknown { number } => Self::UnknownMethod { number },
            MethodError::Setting { .. } => Self::Invalid { what: "setting of a method" },
        }
    }
}
