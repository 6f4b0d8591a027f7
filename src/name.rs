//! Names that cross stage borders, each a type of its own: no bare `String` is a module, and no bare array its version.

use std::fmt;
use std::sync::Arc;

macro_rules! name {
    ($(#[doc = $doc:literal])+ $type:ident) => {
        $(#[doc = $doc])+
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $type(Arc<str>);

        impl $type {
            /// Makes the name from its text, whatever that is: nothing is checked or unquoted.
            pub fn new(text: impl AsRef<str>) -> Self {
                Self(Arc::from(text.as_ref()))
            }

            /// The text, without quotes.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl From<Arc<str>> for $type {
            /// Shares the text.
            fn from(text: Arc<str>) -> Self {
                Self(text)
            }
        }

        impl From<&str> for $type {
            fn from(text: &str) -> Self {
                Self::new(text)
            }
        }

        impl std::borrow::Borrow<str> for $type {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }
    };
}

name!(
    /// A module, by its atom's text: `shop_cart`, `Elixir.Shop.Cart`.
    Module
);
name!(
    /// An application, by its atom's text: `shop`.
    App
);
name!(
    /// A node: `name@host`, as `node()` gives it on that node.
    NodeName
);

impl Module {
    /// A module as people type it: `shop_cart`, `Shop.Cart`, `'odd name'`.
    pub fn typed(text: &str) -> Self {
        let bare = text.trim_matches('\'');
        if bare.starts_with(|c: char| c.is_ascii_uppercase()) && !bare.starts_with("Elixir.") {
            return Self::new(format!("Elixir.{bare}"));
        }
        Self::new(bare)
    }
}

impl fmt::Display for Module {
    /// As people write it in a plan: `shop_cart`, `Shop.Cart`, `'odd name'`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.strip_prefix("Elixir.") {
            Some(alias) if alias.contains('.') && is_alias(alias) => f.write_str(alias),
            Some(alias) if is_alias(alias) => f.write_str(&self.0),
            _ => write!(f, "{}", crate::term::Term::atom(&*self.0)),
        }
    }
}

fn is_alias(text: &str) -> bool {
    text.split('.').all(|part| {
        part.starts_with(|c: char| c.is_ascii_uppercase())
            && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    })
}

impl fmt::Display for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A function without its module: `f/a`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct FunctionArity {
    /// Function name.
    pub name: Arc<str>,
    /// Arity.
    pub arity: u32,
}

impl FunctionArity {
    /// Makes it from both.
    pub fn new(name: impl Into<Arc<str>>, arity: u32) -> Self {
        let name = name.into();
        Self { name, arity }
    }

    /// Whether it is this one.
    pub fn is(&self, name: &str, arity: u32) -> bool {
        *self.name == *name && self.arity == arity
    }
}

impl fmt::Display for FunctionArity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", crate::term::Term::atom(&*self.name), self.arity)
    }
}

/// The MD5 of a module's code, as `M:module_info(md5)` and `beam_lib:md5/1` give it: which version it is.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Md5([u8; 16]);

impl Md5 {
    /// Of these bytes; `None` unless there are sixteen.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        Some(Self(bytes.try_into().ok()?))
    }

    /// The sixteen bytes.
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// The first eight digits, as people compare it.
    pub fn short(&self) -> String {
        let mut digits = self.to_string();
        digits.truncate(8);
        digits
    }
}

impl From<[u8; 16]> for Md5 {
    fn from(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }
}

impl AsRef<[u8]> for Md5 {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for Md5 {
    /// Thirty-two lower-case hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut digits = self.0.iter();
        digits.try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Md5 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A function: `m:f/a`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Mfa {
    /// Module.
    pub module: Module,
    /// Function name.
    pub function: Arc<str>,
    /// Arity.
    pub arity: u32,
}

impl Mfa {
    /// The function without its module.
    pub fn function_arity(&self) -> FunctionArity {
        FunctionArity::new(Arc::clone(&self.function), self.arity)
    }
}

impl fmt::Display for Mfa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}:{}/{}",
            self.module,
            crate::term::Term::atom(&*self.function),
            self.arity
        )
    }
}
