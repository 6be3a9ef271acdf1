//! The kernels that a command boots: those of `kernels.toml` and those that the user names.

use anyhow::Result;
use clap::Args;

use crate::fault::Fault;
use crate::kernels::{self, Entry, Kernel, UserKernel};
use crate::paths::Paths;
use crate::protocol::Generation;

/// The environment variable with the user's kernels, besides those of `kernels.toml`.
const KERNELS_VARIABLE: &str = "HIDBPF_KERNELS";

/// The options for kernels.
#[derive(Args, Clone, Debug, Default)]
pub struct KernelOptions {
    /// Boot this kernel too: PATH, and after it any of `,modules=DIR` `,generation=WORD` `,name=NAME`
    ///
    /// PATH is a bzImage for x86-64. DIR has the modules of that kernel, as in /lib/modules/RELEASE. Leave it out if everything that the
    /// tests need is built in. WORD is the generation that the kernel offers: none, fmod-ret or struct-ops. The default is that of its
    /// version. NAME is the name in reports, by default the release. The option can be given more than once. The environment variable
    /// HIDBPF_KERNELS has more kernels in the same format, separated by colons.
    #[arg(long = "kernel", value_name = "KERNEL")]
    pub user: Vec<UserKernel>,

    /// Boot only the kernels with these names, see lab/kernels.toml
    #[arg(long, value_name = "NAME")]
    pub only: Vec<String>,
}

/// A kernel to boot, before it is looked up.
#[derive(Clone, Debug)]
pub enum Wanted {
    /// One of `kernels.toml`.
    Debian(Entry),
    /// A kernel that the user named.
    User(UserKernel),
}

impl Wanted {
    /// Returns all kernels that `options` ask for.
    ///
    /// # Errors
    /// A kernel is misspelt or invalid, two have one name, or `--only` names one that does not exist.
    pub fn select(options: &KernelOptions) -> Result<Vec<Self>> {
        let mut wanted: Vec<Self> = kernels::list()?.kernels.into_iter().map(Self::Debian).collect();
        wanted.extend(options.user.iter().cloned().map(Self::User));
        if let Ok(text) = std::env::var(KERNELS_VARIABLE) {
            let more = UserKernel::parse_list(&text)
                .map_err(|error| Fault::Usage(format!("failed to read `{KERNELS_VARIABLE}`: {error:#}")))?;
            wanted.extend(more.into_iter().map(Self::User));
        }
        let mut names = Vec::new();
        for kernel in &wanted {
            let name = kernel.checked_name().map_err(|error| Fault::Usage(format!("{error:#}")))?;
            if names.contains(&name) {
                return Err(Fault::Usage(format!("two kernels are called `{name}`: add name=NAME to one")).into());
            }
            names.push(name);
        }
        if !options.only.is_empty() {
            if let Some(unknown) = options.only.iter().find(|name| !names.contains(name)) {
                let known = names.join(", ");
                return Err(Fault::Usage(format!("there is no kernel `{unknown}`; there are {known}")).into());
            }
            wanted.retain(|kernel| options.only.contains(&kernel.name()));
        }
        Ok(wanted)
    }

    /// Returns the kernels that `options` ask for and that have HID-BPF.
    ///
    /// # Errors
    /// As [`Wanted::select`], and if no kernel has it.
    pub fn with_hid_bpf(options: &KernelOptions) -> Result<Vec<Self>> {
        let mut wanted = Self::select(options)?;
        wanted.retain(|kernel| !kernel.is_without());
        if wanted.is_empty() {
            return Err(Fault::Usage("no kernel with HID-BPF is among those asked for".to_owned()).into());
        }
        Ok(wanted)
    }

    fn checked_name(&self) -> Result<String> {
        match self {
            Self::Debian(entry) => Ok(entry.name.clone()),
            Self::User(kernel) => Ok(kernel.look()?.name),
        }
    }

    /// Returns the name in reports.
    pub fn name(&self) -> String {
        self.checked_name().unwrap_or_else(|_| "unreadable".to_owned())
    }

    /// Returns true if the kernel is known to lack HID-BPF.
    fn is_without(&self) -> bool {
        match self {
            Self::Debian(entry) => entry.generation == Generation::None,
            Self::User(kernel) => kernel.look().is_ok_and(|found| found.generation == Generation::None),
        }
    }

    /// Fetches the kernel.
    ///
    /// # Errors
    /// It can't be fetched, or is not a kernel.
    pub fn get(&self, paths: &Paths) -> Result<Kernel> {
        match self {
            Self::Debian(entry) => entry.fetch(paths),
            Self::User(kernel) => kernel.look(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_are_there() {
        let only = |names: &[&str]| KernelOptions {
            only: names.iter().map(|name| (*name).to_owned()).collect(),
            user: Vec::new(),
        };
        let names: Vec<String> = Wanted::select(&only(&["without"])).unwrap().iter().map(Wanted::name).collect();
        assert_eq!(names, ["without"]);
        let error = Wanted::select(&only(&["no-such"])).unwrap_err().to_string();
        assert!(error.starts_with("there is no kernel `no-such`; there are newest, oldest, without"), "{error}");
    }

    #[test]
    fn a_users_kernel_is_looked_at_first() {
        let user: UserKernel = "/no/such/kernel".parse().unwrap();
        let error = Wanted::select(&KernelOptions { user: vec![user], only: Vec::new() }).unwrap_err();
        assert!(matches!(error.downcast_ref(), Some(Fault::Usage(_))), "{error:#}");
        assert!(error.to_string().starts_with("failed to read the kernel `/no/such/kernel`: "), "{error:#}");
    }
}
