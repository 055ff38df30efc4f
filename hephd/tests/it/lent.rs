//! Stores that lend their disks and connections to each other: compiling a
//! store's statements costs more than most of what a test does with them.

use std::{
    cell::RefCell,
    ops::{Deref, DerefMut},
};

use hephd::{
    machine::Machine,
    store::{Store, copy::Disk},
};

thread_local! {
    static SPARES: RefCell<Vec<(Store, Disk)>> = const { RefCell::new(Vec::new()) };
}

/// A store, until nobody needs it any more.
#[derive(Debug)]
pub struct Lent {
    store: Option<Store>,
    /// None for a store in a file.
    disk: Option<Disk>,
}

impl Lent {
    /// All that is committed there, as the next process finds it.
    pub fn copy_of(store: &Store, machine: &Machine) -> Self {
        let spare = SPARES.with_borrow_mut(Vec::pop);
        let (store, disk) = store.copy_in_memory(spare, machine).unwrap();
        Self { store: Some(store), disk: Some(disk) }
    }
}

impl From<Store> for Lent {
    fn from(in_a_file: Store) -> Self {
        Self { store: Some(in_a_file), disk: None }
    }
}

impl Deref for Lent {
    type Target = Store;

    fn deref(&self) -> &Store {
        self.store.as_ref().expect("it is here until it is dropped")
    }
}

impl DerefMut for Lent {
    fn deref_mut(&mut self) -> &mut Store {
        self.store.as_mut().expect("it is here until it is dropped")
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let store = self.store.take().filter(|store| !store.in_group());
        // A thread that ends has no need of spares.
        let _ = SPARES.try_with(|all| all.borrow_mut().extend(store.zip(self.disk.take())));
    }
}
