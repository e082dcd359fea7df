//! Bytes that anybody may send us, read twice: by the program, and by what its manual says, written down here once
//! more. `make fuzz` goes on for longer; the wire's own are beside it, in `src/broker/beanstalkd/`.

mod bodies;
mod damage;
mod described;
mod errors;
mod json;
mod lines;
mod manual;
mod own;
