//! The options of one command: `--name value`, flags, and what stands alone.

/// What a command line says.
#[derive(Debug, Default)]
pub struct Options<'a> {
    values: Vec<(&'a str, &'a str)>,
    flags: Vec<&'a str>,
    /// What is no option.
    pub rest: Vec<&'a str>,
}

impl<'a> Options<'a> {
    /// Reads `args`, in which the options of `with_value` are followed by one.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn parse(args: &'a [String], with_value: &[&str], flags: &[&str]) -> Result<Self, String> {
        let mut options = Self::default();
        let mut args = args.iter().map(String::as_str);
        while let Some(arg) = args.next() {
            if with_value.contains(&arg) {
                if options.value(arg).is_some() {
                    return Err(format!("{arg} is given twice"));
                }
                options.values.push((arg, args.next().ok_or_else(|| format!("{arg} needs a value"))?));
            } else if flags.contains(&arg) {
                options.flags.push(arg);
            } else if is_option(arg) {
                return Err(format!("unknown option {arg}"));
            } else {
                options.rest.push(arg);
            }
        }
        Ok(options)
    }

    /// The value of an option.
    pub fn value(&self, name: &str) -> Option<&'a str> {
        self.values.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
    }

    /// The value of an option that must be there.
    ///
    /// # Errors
    /// It is not.
    pub fn required(&self, name: &str) -> Result<&'a str, String> {
        self.value(name).ok_or_else(|| format!("{name} is missing"))
    }

    /// Whether a flag is set.
    pub fn has(&self, flag: &str) -> bool {
        self.flags.contains(&flag)
    }
}

/// Whether it is an option, known or not; `-` alone is the standard input.
pub fn is_option(arg: &str) -> bool {
    arg.len() > 1 && arg.starts_with('-')
}

/// Whether somebody asks how the command is called.
pub fn asks_for_help(args: &[String]) -> bool {
    args.iter().any(|arg| arg == "--help" || arg == "-h")
}

/// The value of an environment variable that holds a secret: on a command line everybody on the machine could read it.
///
/// # Errors
/// It is not set, or empty.
pub fn secret(variable: &str) -> Result<String, String> {
    let value = std::env::var(variable).ok().filter(|value| !value.is_empty());
    value.ok_or_else(|| format!("expected the environment variable {variable} to be set and not empty"))
}

/// Random bytes as hexadecimal text.
///
/// # Errors
/// The system has none.
pub fn random() -> Result<String, String> {
    let mut bytes = [0; 16];
    getrandom::getrandom(&mut bytes).map_err(|error| format!("no random bytes: {error}"))?;
    Ok(portcullis::signature::hex(&bytes))
}

/// This machine's clock.
pub fn now() -> portcullis::time::Timestamp {
    let since_epoch = std::time::SystemTime::now().duration_since(std::time::SystemTime::UNIX_EPOCH);
    portcullis::time::Timestamp::default().after(since_epoch.unwrap_or_default())
}
