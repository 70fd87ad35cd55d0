//! The wire format: test vectors for other implementations, and the seeds of the fuzz targets.

mod corpus;
mod vectors;
