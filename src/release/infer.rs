//! An appup from two versions of an application.
