//! The users of the shop: how active each is, and habits that a user keeps from session to session.

use crate::alias_table::AliasTable;
use crate::lexicon::{AGE_GROUPS, DEVICES, GENDERS, REGIONS, SEGMENTS};
use crate::products::{Products, Shuffle};
use crate::random::{Random, Stream};

/// All users. Only the segment is stored per user; all other properties are derived from the number.
#[derive(Debug)]
pub(crate) struct Users {
    seed: u64,
    users: u32,
    order: Shuffle,
    devices: AliasTable,
    genders: AliasTable,
    age_groups: AliasTable,
    regions: AliasTable,
    /// Index into [`SEGMENTS`] by user.
    segments: Vec<u8>,
}

/// The habits of a user.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Habits {
    /// Index into [`DEVICES`].
    pub(crate) device: u8,
    /// Index into the categories.
    pub(crate) favourite: u8,
}

/// A row of the `users` table.
#[derive(Debug, Clone, Copy)]
pub(crate) struct User {
    pub(crate) gender: &'static str,
    pub(crate) age_group: &'static str,
    pub(crate) region: &'static str,
    pub(crate) segment: &'static str,
    /// Time between signup and the first day of the period.
    pub(crate) member_micros: i64,
}

const LONGEST_MEMBER_SECONDS: u32 = 900 * 86_400;

impl Users {
    pub(crate) fn new(seed: u64, users: u32) -> Self {
        let order = Shuffle::new(seed ^ 1, users);
        let mut segments = vec![0; users as usize];
        for (rank, user) in order.iter().enumerate() {
            let percentile = rank as u64 * 100 / u64::from(users);
            let segment = SEGMENTS.iter().position(|&(_, until)| percentile < until);
            segments[user as usize] = segment.unwrap_or(SEGMENTS.len() - 1) as u8;
        }
        Self {
            seed,
            users,
            order,
            devices: AliasTable::new(DEVICES.iter().map(|device| device.3)),
            genders: AliasTable::new(GENDERS.iter().map(|gender| gender.1)),
            age_groups: AliasTable::new(AGE_GROUPS.iter().map(|group| group.1)),
            regions: AliasTable::new(REGIONS.iter().map(|region| region.1)),
            segments,
        }
    }

    pub(crate) fn len(&self) -> u32 {
        self.users
    }

    /// Picks the user of a session. The density falls with the cube root of the rank: the most active tenth has a fifth
    /// of the sessions.
    pub(crate) fn pick(&self, random: &mut Random) -> u32 {
        let u = random.unit();
        let rank = (f64::from(self.users) * (u * u.sqrt())) as u32;
        self.order.at(rank.min(self.users - 1))
    }

    pub(crate) fn habits(&self, user: u32, products: &Products) -> Habits {
        let mut random = Random::stream(self.seed, Stream::Habits, i64::from(user), 0);
        let device = self.devices.pick(&mut random) as u8;
        // The favourite is the category of a product picked by popularity.
        let favourite = products.product(products.pick(&mut random)).category;
        Habits { device, favourite }
    }

    /// Picks a device: usually the user's own, sometimes another.
    pub(crate) fn device(&self, habits: Habits, random: &mut Random) -> u8 {
        if random.chance(0.85) { habits.device } else { self.devices.pick(random) as u8 }
    }

    pub(crate) fn user(&self, user: u32) -> User {
        let mut random = Random::stream(self.seed, Stream::Users, i64::from(user), 0);
        User {
            gender: GENDERS[self.genders.pick(&mut random) as usize].0,
            age_group: AGE_GROUPS[self.age_groups.pick(&mut random) as usize].0,
            region: REGIONS[self.regions.pick(&mut random) as usize].0,
            segment: SEGMENTS[usize::from(self.segments[user as usize])].0,
            member_micros: i64::from(random.below(LONGEST_MEMBER_SECONDS) + 1) * 1_000_000,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn power_users_are_few_and_come_often() {
        let users = Users::new(5, 10_000);
        let mut random = Random::stream(5, Stream::Sessions, 0, 0);
        let visits = (0..50_000).filter(|_| users.segments[users.pick(&mut random) as usize] == 0).count();
        assert_eq!(users.segments.iter().filter(|&&segment| segment == 0).count(), 1_000);
        // 0.1 ^ (2/3) = 0.215
        assert!((10_000..11_500).contains(&visits), "{visits}");
    }

    #[test]
    fn a_user_is_reproducible() {
        let users = Users::new(5, 100);
        let products = Products::new(5, 50);
        let [a, b] = [users.habits(7, &products), users.habits(7, &products)];
        assert_eq!((a.device, a.favourite), (b.device, b.favourite));
        assert_eq!(users.user(7).region, users.user(7).region);
    }
}
