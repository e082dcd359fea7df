//! Every test that needs real servers, real processes or real files.

mod signals;
mod tender;
