//! What is known of objects, wherever they are stored: documents read, ages, statuses over time, and the view
//! that everybody is shown. Both modes use it; nothing here waits for anything.

pub mod gathered;
pub mod leases;
pub mod ledger;
pub mod listing;
pub mod meaning;
pub mod reading;
pub mod sorted;
pub mod statuses;
pub mod view;
