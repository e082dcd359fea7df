//! A client for beanstalkd.
