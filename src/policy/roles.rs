//! Roles as the rules name them, compiled to bits, with those that a role stands for.

use std::collections::HashMap;

pub use crate::config::MAX_ROLES;

/// A set of roles out of one [`Roles`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RoleSet(u128);

impl RoleSet {
    /// No role is in it.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// At least one role is in both.
    pub const fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// The roles of both.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// Every role that the configuration names. What a token names beyond them has no meaning to any rule.
#[derive(Debug, Default)]
pub struct Roles {
    names: HashMap<String, usize>,
    /// For each role: itself and all that it stands for.
    stands_for: Vec<RoleSet>,
}

/// More than [`MAX_ROLES`] roles are named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooManyRoles;

impl Roles {
    /// Compiles `hierarchy` (a role and those it stands for, directly) and the names that rules use.
    ///
    /// # Errors
    /// [`TooManyRoles`] for more than [`MAX_ROLES`] distinct names.
    pub fn compile<'a>(
        hierarchy: impl Iterator<Item = (&'a str, &'a [String])> + Clone,
        named: impl Iterator<Item = &'a str>,
    ) -> Result<Self, TooManyRoles> {
        let mut roles = Self::default();
        for name in named {
            roles.index(name)?;
        }
        for (name, juniors) in hierarchy {
            let senior = roles.index(name)?;
            for junior in juniors {
                let junior = roles.index(junior)?;
                if let Some(set) = roles.stands_for.get_mut(senior) {
                    set.0 |= 1 << junior;
                }
            }
        }
        roles.close();
        Ok(roles)
    }

    /// The set of `names` and all that they stand for; names that no rule uses are left out.
    pub fn set<'a>(&self, names: impl Iterator<Item = &'a str>) -> RoleSet {
        let indexes = names.filter_map(|name| self.names.get(name));
        indexes.filter_map(|&at| self.stands_for.get(at)).fold(RoleSet::default(), |all, set| all.union(*set))
    }

    /// Exactly the roles of `names`, not those that they stand for: what a rule asks for.
    pub fn asked<'a>(&self, names: impl Iterator<Item = &'a str>) -> RoleSet {
        names.filter_map(|name| self.names.get(name)).fold(RoleSet::default(), |all, at| all.union(RoleSet(1 << at)))
    }

    fn index(&mut self, name: &str) -> Result<usize, TooManyRoles> {
        if let Some(&at) = self.names.get(name) {
            return Ok(at);
        }
        let at = self.stands_for.len();
        if at >= MAX_ROLES {
            return Err(TooManyRoles);
        }
        self.names.insert(name.to_owned(), at);
        self.stands_for.push(RoleSet(1 << at));
        Ok(at)
    }

    /// Stands-for is transitive. Each round reaches at least one step further, and there are at most as many as roles.
    fn close(&mut self) {
        for _ in 0..self.stands_for.len() {
            let before = self.stands_for.clone();
            for set in &mut self.stands_for {
                let reached = before.iter().enumerate().filter(|(at, _)| set.0 >> at & 1 == 1);
                *set = reached.fold(*set, |all, (_, further)| all.union(*further));
            }
            if before == self.stands_for {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seniority() -> Roles {
        let hierarchy = [("admin", vec!["manager".to_owned()]), ("manager", vec!["user".to_owned()])];
        Roles::compile(hierarchy.iter().map(|(name, juniors)| (*name, juniors.as_slice())), ["guest"].into_iter())
            .unwrap()
    }

    #[test]
    fn a_role_stands_for_those_below_it_at_any_distance() {
        let roles = seniority();
        let user = roles.asked(["user"].into_iter());
        assert!(roles.set(["admin"].into_iter()).intersects(user));
        assert!(!roles.set(["guest"].into_iter()).intersects(user));
    }

    #[test]
    fn a_rule_for_a_senior_role_is_not_met_by_a_junior_one() {
        let roles = seniority();
        assert!(!roles.set(["user"].into_iter()).intersects(roles.asked(["admin"].into_iter())));
    }

    #[test]
    fn a_role_that_no_rule_names_grants_nothing() {
        let roles = seniority();
        assert_eq!(roles.set(["root", "Admin", ""].into_iter()), RoleSet::default());
    }

    #[test]
    fn refuses_more_roles_than_it_has_bits_for() {
        let names: Vec<String> = (0..=MAX_ROLES).map(|n| format!("role-{n}")).collect();
        let compiled = Roles::compile(std::iter::empty(), names.iter().map(String::as_str));
        assert_eq!(compiled.err(), Some(TooManyRoles));
    }
}
