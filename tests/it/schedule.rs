//! Schedules: when they come, and what becomes of it.

mod zones;
