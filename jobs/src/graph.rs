//! Derives an order from dependencies, as pure functions over indices in a list.

use std::collections::BTreeSet;

/// Groups indices into waves, each needing only earlier ones; `Err` is a cycle, with its first index repeated at the
/// end.
pub(crate) fn waves(needs: &[BTreeSet<usize>]) -> Result<Vec<Vec<usize>>, Vec<usize>> {
    let mut done = BTreeSet::new();
    let mut waves = Vec::new();
    while done.len() < needs.len() {
        let ready = |index: &usize| !done.contains(index) && needs[*index].is_subset(&done);
        let wave: Vec<usize> = (0..needs.len()).filter(ready).collect();
        if wave.is_empty() {
            return Err(cycle(needs, &done));
        }
        done.extend(&wave);
        waves.push(wave);
    }
    Ok(waves)
}

/// Follows needs that are not done until an index repeats; each remaining index has such a need, or it would be done.
fn cycle(needs: &[BTreeSet<usize>], done: &BTreeSet<usize>) -> Vec<usize> {
    let mut path: Vec<usize> = Vec::new();
    let mut next = (0..needs.len()).find(|index| !done.contains(index));
    while let Some(index) = next {
        if let Some(first) = path.iter().position(|seen| *seen == index) {
            path.push(index);
            return path.split_off(first);
        }
        path.push(index);
        next = needs[index].iter().copied().find(|need| !done.contains(need));
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(needs: &[&[usize]], expected: Result<Vec<Vec<usize>>, Vec<usize>>) {
        let needs: Vec<BTreeSet<usize>> = needs.iter().map(|needs| needs.iter().copied().collect()).collect();
        assert_eq!(waves(&needs), expected);
    }

    #[test]
    fn orders() {
        check(&[], Ok(vec![]));
        check(&[&[], &[0], &[0], &[1, 2]], Ok(vec![vec![0], vec![1, 2], vec![3]]));
        check(&[&[], &[0, 3], &[1], &[2]], Err(vec![1, 3, 2, 1]));
        check(&[&[0]], Err(vec![0, 0]));
    }
}
