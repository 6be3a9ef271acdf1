//! Match rules about the machine: what its firmware says of itself in the DMI tables, as sysfs shows it.

use serde::{Deserialize, Serialize};

use crate::text::{Printable, fits};

/// A rule about the machine. All given keys must apply. In each value, `*` matches any text.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct MachineRule {
    /// The vendor of the machine: `sys_vendor`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vendor: Option<String>,
    /// The product: `product_name`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub product: Option<String>,
    /// The main board: `board_name`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub board: Option<String>,
}

impl MachineRule {
    /// Returns each given key with its pattern, and the name of the attribute in `/sys/class/dmi/id`.
    fn patterns(&self) -> impl Iterator<Item = (&'static str, &'static str, &str)> {
        let keys = [
            ("vendor", "sys_vendor", &self.vendor),
            ("product", "product_name", &self.product),
            ("board", "board_name", &self.board),
        ];
        keys.into_iter().filter_map(|(key, attribute, pattern)| Some((key, attribute, pattern.as_deref()?)))
    }

    /// Checks the constraints that the types can't express.
    pub(crate) fn check(&self) -> Result<(), (&'static str, String)> {
        let is_empty = self.patterns().next().is_none();
        if is_empty || self.patterns().any(|(_, _, pattern)| pattern.is_empty()) {
            let message = "`machine` needs one of `vendor`, `product` and `board`, and none may be empty".to_owned();
            return Err(("machine", message));
        }
        Ok(())
    }

    /// Returns the conditions in words.
    pub(crate) fn conditions(&self) -> impl Iterator<Item = String> {
        self.patterns().map(|(key, _, pattern)| format!("a machine with the {key} `{pattern}`"))
    }

    /// Returns the differences from a machine. `read` returns an attribute of it, which is empty if it has none.
    pub(crate) fn reasons_against(&self, read: &dyn Fn(&str) -> String) -> Vec<String> {
        let reason = |(key, attribute, pattern): (&str, &str, &str)| {
            let found = read(attribute);
            let differs = found.is_empty() || !fits(pattern, &found);
            differs.then(|| format!("the machine's {key} is `{}`, expected `{pattern}`", Printable(&found)))
        };
        self.patterns().filter_map(reason).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_is_known_by_its_firmware() {
        let rule = |text: &str| toml::from_str::<MachineRule>(text).unwrap();
        let read = |attribute: &str| match attribute {
            "sys_vendor" => "ASUSTeK COMPUTER INC.".to_owned(),
            "product_name" => "Vivobook\u{7} S15".to_owned(),
            _ => String::new(),
        };
        let both = rule("vendor = \"ASUS*\"\nproduct = \"Vivobook*\"");
        assert_eq!((both.check(), both.reasons_against(&read)), (Ok(()), Vec::new()));
        let reasons = rule("vendor = \"Dell*\"\nboard = \"*\"").reasons_against(&read);
        assert_eq!(
            reasons,
            [
                "the machine's vendor is `ASUSTeK COMPUTER INC.`, expected `Dell*`",
                "the machine's board is ``, expected `*`"
            ]
        );
        let words: Vec<String> = rule("board = \"S5507\"").conditions().collect();
        assert_eq!(words, ["a machine with the board `S5507`"]);
        assert!(rule("").check().is_err() && rule("vendor = \"\"").check().is_err());
        assert!(toml::from_str::<MachineRule>("bios = \"x\"").is_err());
    }
}
