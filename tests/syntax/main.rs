//! The plan language from the outside: what is accepted, what is refused and how, and that nothing breaks it.

mod broken;
mod forms;
mod print;
mod render;
mod robust;
