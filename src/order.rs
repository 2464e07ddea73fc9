//! Sorting in little code. The standard library's sorts are made for speed and add 5 to 20 KB of module for every type of
//! element; what is sorted here is short, rare, or sorted once at the start.

/// Sorts in place (heapsort): `n log n` comparisons at worst; equal elements may change places.
pub fn sort<T: Ord>(list: &mut [T]) {
    sort_by(list, |one, other| one < other);
}

/// Sorts in place by what `less` says of two elements.
pub fn sort_by<T>(list: &mut [T], less: impl Fn(&T, &T) -> bool) {
    let length = list.len();
    heapsort(&mut Elements { list, less }, length);
}

/// Elements that are compared and exchanged by their places: the same code sorts all types.
trait Places {
    fn less(&self, one: usize, other: usize) -> bool;
    fn swap(&mut self, one: usize, other: usize);
}

struct Elements<'l, T, F> {
    list: &'l mut [T],
    less: F,
}

impl<T, F: Fn(&T, &T) -> bool> Places for Elements<'_, T, F> {
    fn less(&self, one: usize, other: usize) -> bool {
        matches!((self.list.get(one), self.list.get(other)), (Some(one), Some(other)) if (self.less)(one, other))
    }

    fn swap(&mut self, one: usize, other: usize) {
        self.list.swap(one, other);
    }
}

fn heapsort(places: &mut dyn Places, length: usize) {
    for root in (0..length / 2).rev() {
        sink(places, root, length);
    }
    for end in (1..length).rev() {
        places.swap(0, end);
        sink(places, 0, end);
    }
}

/// Moves the element at `root` below all that are greater, among the first `end`.
fn sink(places: &mut dyn Places, mut root: usize, end: usize) {
    loop {
        let mut greatest = root;
        for child in [2 * root + 1, 2 * root + 2] {
            if child < end && places.less(greatest, child) {
                greatest = child;
            }
        }
        if greatest == root {
            return;
        }
        places.swap(root, greatest);
        root = greatest;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]
        #[test]
        fn sorts_as_the_standard_library_does(list: Vec<u8>) {
            let (mut ours, mut theirs) = (list.clone(), list);
            sort(&mut ours);
            theirs.sort_unstable();
            prop_assert_eq!(&ours, &theirs);
            sort_by(&mut ours, |one, other| one > other);
            theirs.reverse();
            prop_assert_eq!(ours, theirs);
        }
    }
}
