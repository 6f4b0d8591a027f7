//! The plan language from the outside: what is accepted, what is refused and how, and that nothing breaks it.

#[path = "syntax/broken.rs"]
mod broken;
#[path = "syntax/forms.rs"]
mod forms;
#[path = "syntax/print.rs"]
mod print;
#[path = "syntax/render.rs"]
mod render;
#[path = "syntax/robust.rs"]
mod robust;
