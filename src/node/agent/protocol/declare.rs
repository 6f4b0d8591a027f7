//! How the types of the protocol are declared: one declaration gives the type, its decoder and encoder, and how
//! `PROTOCOL.md` writes it.

/// A map with known keys: those that are always there, and behind `;` those that may be missing.
macro_rules! record {
    ($(#[$doc:meta])* $name:ident as $short:literal {
        $($(#[$must_doc:meta])* $must:ident: $must_type:ty,)*
        $(; $($(#[$may_doc:meta])* $may:ident: $may_type:ty,)*)?
    }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq)]
        pub struct $name {
            $($(#[$must_doc])* pub $must: $must_type,)*
            $($($(#[$may_doc])* pub $may: Option<$may_type>,)*)?
        }

        impl Record for $name {
            const REQUIRED: &'static [&'static str] = &[$(stringify!($must)),*];
            const OPTIONAL: &'static [&'static str] = &[$($(stringify!($may)),*)?];
        }

        impl Codec for $name {
            fn notation() -> String {
                concat!($short, "()").to_owned()
            }

            #[cfg(test)]
            fn define(definitions: &mut super::codec::Definitions) {
                if definitions.contains_key($short) {
                    return;
                }
                let keys: Vec<String> = vec![
                    $(format!(concat!(stringify!($must), " := {}"), <$must_type>::notation()),)*
                    $($(format!(concat!(stringify!($may), " => {}"), <$may_type>::notation()),)*)?
                ];
                definitions.insert($short, format!("#{{{}}}", keys.join(", ")));
                $(<$must_type>::define(definitions);)*
                $($(<$may_type>::define(definitions);)*)?
            }

            fn decode(term: &Term) -> Result<Self, DecodeError> {
                Self::check_keys(term)?;
                Ok(Self {
                    $($must: required(term, stringify!($must))?,)*
                    $($($may: optional(term, stringify!($may))?,)*)?
                })
            }

            fn encode(&self) -> Term {
                let pairs: Vec<Option<(Term, Term)>> = vec![
                    $(Some((Term::atom(stringify!($must)), self.$must.encode())),)*
                    $($(self.$may.as_ref().map(|value| (Term::atom(stringify!($may)), value.encode())),)*)?
                ];
                Term::map(pairs.into_iter().flatten())
            }

            #[cfg(test)]
            fn sample(source: &mut super::tests::Source) -> Self {
                let _ = &source;
                Self {
                    $($must: <$must_type>::sample(source),)*
                    $($($may: source.below(2).eq(&1).then(|| <$may_type>::sample(source)),)*)?
                }
            }
        }
    };
}

/// One of several records, which differ in their keys.
macro_rules! one_of {
    ($(#[$doc:meta])* $name:ident as $short:literal {
        $($(#[$case_doc:meta])* $case:ident($record:ty),)*
    }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq)]
        pub enum $name {
            $($(#[$case_doc])* $case($record),)*
        }

        impl Codec for $name {
            fn notation() -> String {
                concat!($short, "()").to_owned()
            }

            #[cfg(test)]
            fn define(definitions: &mut super::codec::Definitions) {
                let cases: Vec<String> = vec![$(<$record>::notation()),*];
                definitions.insert($short, cases.join(" | "));
                $(<$record>::define(definitions);)*
            }

            fn decode(term: &Term) -> Result<Self, DecodeError> {
                // The one whose keys these are; of none, the error of the one that comes closest.
                let closest = [$(<$record>::difference(term)),*];
                let closest = closest.into_iter().flatten().min();
                $(if closest.is_some() && <$record>::difference(term) == closest {
                    return <$record>::decode(term).map(Self::$case);
                })*
                Err(DecodeError::expected(&Self::notation(), term))
            }

            fn encode(&self) -> Term {
                match self {
                    $(Self::$case(record) => record.encode(),)*
                }
            }

            #[cfg(test)]
            fn sample(source: &mut super::tests::Source) -> Self {
                let cases: &[fn(&mut super::tests::Source) -> Self] =
                    &[$(|source| Self::$case(<$record>::sample(source))),*];
                cases[source.below(cases.len())](source)
            }
        }
    };
}

/// Tuples that are distinguished by their first element; one without further elements is an atom. A last one in
/// brackets may be missing.
macro_rules! tagged_union {
    ($(#[$doc:meta])* $name:ident as $short:literal {
        $($(#[$case_doc:meta])* $case:ident = $tag:literal {
            $($(#[$part_doc:meta])* $part:ident: $type:ty),* $(,)?
        } $([$(#[$last_doc:meta])* $last:ident: $last_type:ty])?,)*
    }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq)]
        pub enum $name {
            $($(#[$case_doc])* $case {
                $($(#[$part_doc])* $part: $type,)*
                $($(#[$last_doc])* $last: Option<$last_type>,)?
            },)*
        }

        impl $name {
            /// Each form as `PROTOCOL.md` writes it.
            #[cfg(test)]
            pub fn forms() -> Vec<String> {
                let mut forms = Vec::new();
                $({
                    let parts: Vec<String> = vec![$(<$type>::notation()),*];
                    forms.push(super::codec::form($tag, &parts));
                    $(
                        let mut parts = parts;
                        parts.push(<$last_type>::notation());
                        forms.push(super::codec::form($tag, &parts));
                    )?
                })*
                forms
            }
        }

        impl Codec for $name {
            fn notation() -> String {
                concat!($short, "()").to_owned()
            }

            #[cfg(test)]
            fn define(definitions: &mut super::codec::Definitions) {
                if definitions.contains_key($short) {
                    return;
                }
                definitions.insert($short, Self::forms().join(" | "));
                $($(<$type>::define(definitions);)* $(<$last_type>::define(definitions);)?)*
            }

            fn decode(term: &Term) -> Result<Self, DecodeError> {
                let parts = &mut Parts::of(term, &Self::notation())?;
                match parts.tag() {
                    $($tag => {
                        let read = Self::$case {
                            $($part: parts.next(stringify!($part))?,)*
                            $($last: parts.next_if_any(stringify!($last))?,)?
                        };
                        parts.end()?;
                        Ok(read)
                    })*
                    _ => Err(DecodeError::expected(&Self::notation(), term)),
                }
            }

            fn encode(&self) -> Term {
                match self {
                    $(Self::$case { $($part,)* $($last,)? } => {
                        let parts = Vec::<Term>::from([$($part.encode()),*]).into_iter();
                        $(let parts = parts.chain($last.as_ref().map(Codec::encode));)?
                        tagged($tag, parts.collect())
                    })*
                }
            }

            #[cfg(test)]
            fn sample(source: &mut super::tests::Source) -> Self {
                let cases: &[fn(&mut super::tests::Source) -> Self] = &[$(|source| {
                    let _ = &source;
                    Self::$case {
                        $($part: <$type>::sample(source),)*
                        $($last: source.below(2).eq(&1).then(|| <$last_type>::sample(source)),)?
                    }
                }),*];
                cases[source.below(cases.len())](source)
            }
        }
    };
}

/// One of several atoms.
macro_rules! atoms {
    ($(#[$doc:meta])* $name:ident as $short:literal {
        $($(#[$case_doc:meta])* $case:ident = $text:literal,)*
    }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name {
            $($(#[$case_doc])* $case,)*
        }

        impl $name {
            /// The atom's text.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$case => $text,)*
                }
            }
        }

        impl Codec for $name {
            fn notation() -> String {
                concat!($short, "()").to_owned()
            }

            #[cfg(test)]
            fn define(definitions: &mut super::codec::Definitions) {
                definitions.insert($short, [$($text),*].join(" | "));
            }

            fn decode(term: &Term) -> Result<Self, DecodeError> {
                match term.as_atom().map(Atom::as_str) {
                    $(Some($text) => Ok(Self::$case),)*
                    _ => Err(DecodeError::expected(&Self::notation(), term)),
                }
            }

            fn encode(&self) -> Term {
                Term::atom(self.as_str())
            }

            #[cfg(test)]
            fn sample(source: &mut super::tests::Source) -> Self {
                let all = [$(Self::$case),*];
                all[source.below(all.len())]
            }
        }
    };
}

pub(super) use {atoms, one_of, record, tagged_union};
