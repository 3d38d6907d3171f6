//! One value for every option: built-in default < file < environment < flag.
//!
//! The options are what the subcommands declare to clap. From an option's name follow its environment variable and its key in the file, so
//! that the three cannot drift apart. Values of the file take the place of built-in defaults; clap does the rest of the precedence.

use std::collections::BTreeMap;
use std::env;
use std::ffi::OsString;
use std::fs;
use std::io::{self, Write};
use std::iter;
use std::path::{Path, PathBuf};

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command, Parser};
use toml::{Spanned, Value};

use super::error::CliError;
use super::variables::{self, variable};
use crate::nearest::nearest;
use crate::text_file::TextFileError;
use crate::toml_file;

/// Options that are no settings: they say where settings come from or what to show.
const NOT_SETTINGS: [&str; 4] = ["config", "print_config", "help", "version"];

/// Parses `argv` with the environment and the file that `--config` or `SENET_CONFIG` names.
///
/// # Errors
/// [`CliError::CommandLine`] for what was typed, [`CliError::Configuration`] for what the file or the environment says.
pub(super) fn parse<C: Parser>(argv: impl IntoIterator<Item = OsString>) -> Result<(C, Effective), CliError> {
    let argv: Vec<OsString> = argv.into_iter().collect();
    let mut command = with_environment(C::command());
    let peek = command.clone().ignore_errors(true).try_get_matches_from(&argv).map_err(CliError::CommandLine)?;
    let mut file = File::default();
    if let (Some(path), Some(_)) = (peek.get_one::<PathBuf>("config"), peek.subcommand_name()) {
        file = File::read(path, &command).map_err(CliError::configuration)?;
        command = file.as_defaults(command, &subcommands(&peek)).map_err(CliError::configuration)?;
    }
    let matches = command.clone().try_get_matches_from(&argv).map_err(|error| blame(error, &argv, &command))?;
    let cli = C::from_arg_matches(&matches).map_err(CliError::CommandLine)?;
    let unknown_variables = variables::unknown(env::vars_os(), &options(&command).into_iter().flat_map(keys).collect::<Vec<_>>());
    command.build();
    Ok((cli, Effective { command, matches, file, unknown_variables }))
}

/// The subcommand that was typed, and its own, as in `zoo pull`.
fn subcommands(matches: &ArgMatches) -> Vec<&str> {
    std::iter::successors(matches.subcommand(), |(_, matches)| matches.subcommand()).map(|(name, _)| name).collect()
}

/// The options of `command` and of everything below it.
fn options(command: &Command) -> Vec<&Arg> {
    command.get_subcommands().flat_map(options).chain(command.get_arguments()).filter(|arg| is_setting(arg)).collect()
}

/// `command` with `change` made to what `path` leads to.
fn change(command: Command, path: &[&str], change_it: impl FnOnce(Command) -> Command) -> Command {
    match path {
        [] => change_it(command),
        [first, rest @ ..] => command.mut_subcommand(first, |sub| change(sub, rest, change_it)),
    }
}

fn is_setting(arg: &Arg) -> bool {
    arg.get_long().is_some() && !NOT_SETTINGS.contains(&arg.get_id().as_str())
}

/// The keys of an option in the file: its name, and the names that it had before.
fn keys(arg: &Arg) -> impl Iterator<Item = String> {
    let before = arg.get_all_aliases().unwrap_or_default().into_iter().map(|alias| alias.replace('-', "_"));
    iter::once(arg.get_id().to_string()).chain(before)
}

/// Gives every option of `command` and its subcommands an environment variable; an empty variable counts as unset.
fn with_environment(command: Command) -> Command {
    let attach = |arg: Arg| {
        // So that -1 is a wrong value and not an unknown flag.
        let arg = if arg.get_long().is_some() && arg.get_action().takes_values() { arg.allow_negative_numbers(true) } else { arg };
        let is_set = |name: &String| env::var_os(name).is_some_and(|value| !value.is_empty());
        let own = variable(arg.get_id().as_str());
        let name = keys(&arg).map(|key| variable(&key)).find(is_set).or_else(|| env::var_os(&own).is_none().then_some(own));
        match name {
            Some(name) if arg.get_long().is_some() && arg.get_id() != "print_config" => arg.env(name),
            _ => arg,
        }
    };
    command.mut_args(attach).mut_subcommands(with_environment)
}

/// Tells a wrong value in the environment, which is bad configuration, from one that was typed, which is bad usage.
fn blame(error: clap::Error, argv: &[OsString], command: &Command) -> CliError {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        _ => None,
    };
    let flag = text(ContextKind::InvalidArg).and_then(|usage| usage.split(' ').next()).and_then(|flag| flag.strip_prefix("--"));
    let option = options(command).into_iter().find(|arg| arg.get_long() == flag);
    let (Some(option), true) = (option, matches!(error.kind(), ErrorKind::ValueValidation | ErrorKind::InvalidValue)) else {
        return CliError::CommandLine(error);
    };
    let is_typed = |name: &str| argv.iter().any(|arg| arg.to_string_lossy().strip_prefix("--").is_some_and(|arg| arg.starts_with(name)));
    if option.get_long().into_iter().chain(option.get_all_aliases().unwrap_or_default()).any(is_typed) {
        return CliError::CommandLine(error);
    }
    let value = text(ContextKind::InvalidValue).unwrap_or_default();
    let name = option.get_env().unwrap_or_default().to_string_lossy();
    CliError::Configuration(format!("{name} is {value:?} in the environment, {}", expectation(&error)))
}

/// What clap says was expected, as the end of a sentence.
fn expectation(error: &clap::Error) -> String {
    if let Some(ContextValue::Strings(values)) = error.get(ContextKind::ValidValue) {
        return format!("expected one of {}", values.join(", "));
    }
    std::error::Error::source(error).map_or_else(|| "which is not understood".to_owned(), ToString::to_string)
}

/// The configuration file.
#[derive(Default)]
struct File {
    path: PathBuf,
    /// As text, the way flags are written.
    values: BTreeMap<String, Vec<String>>,
}

impl File {
    fn read(path: &Path, command: &Command) -> Result<Self, TextFileError> {
        // The operator's own, which may come through a pipe.
        let text = fs::read_to_string(path).map_err(|source| TextFileError::Read { file: path.to_owned(), source })?;
        let entries: BTreeMap<String, Spanned<Value>> = toml_file::parse(path, &text)?;
        let options = options(command);
        let mut values = BTreeMap::new();
        for (key, entry) in entries {
            let line = toml_file::line_of(&text, Some(entry.span()));
            let Some(option) = options.iter().find(|arg| keys(arg).any(|known| known == key)) else {
                let nearest = nearest(&key, options.iter().map(|arg| arg.get_id().as_str())).unwrap_or_default().to_owned();
                return Err(TextFileError::UnknownKey { file: path.to_owned(), line, key, nearest });
            };
            let as_text = as_text(entry.get_ref()).ok_or_else(|| TextFileError::Value {
                file: path.to_owned(),
                line,
                key: key.clone(),
                value: entry.get_ref().to_string(),
                expected: "a string, a number, true or false, or a list of them".to_owned(),
            })?;
            // Where a file has an option by its former name too, the first of the two in the alphabet counts.
            values.entry(option.get_id().to_string()).or_insert(as_text);
        }
        Ok(Self { path: path.to_owned(), values })
    }

    /// `command` with the file's values as the defaults of the options of the subcommand at `path`.
    fn as_defaults(&self, mut command: Command, path: &[&str]) -> Result<Command, String> {
        for (key, values) in &self.values {
            let find = |command: &Command| command.get_arguments().find(|arg| arg.get_id() == key.as_str()).cloned();
            let own = path.iter().try_fold(&command, |command, name| command.find_subcommand(name)).and_then(find);
            if let Some(arg) = own.as_ref().or(find(&command).as_ref()) {
                self.check(arg, key, values)?;
            }
            let set = |arg: Arg| arg.default_values(values);
            command = match own {
                Some(_) => change(command, path, |sub| sub.mut_arg(key, set)),
                None if find(&command).is_some() => command.mut_arg(key, set),
                None => command,
            };
        }
        Ok(command)
    }

    /// Lets clap judge the values of one option on their own.
    fn check(&self, arg: &Arg, key: &str, values: &[String]) -> Result<(), String> {
        let flags = values.iter().map(|value| format!("--{}={value}", key.replace('_', "-")));
        let takes_value = arg.get_action().takes_values();
        let arg = if takes_value { arg.clone() } else { arg.clone().action(clap::ArgAction::Set).value_parser(clap::value_parser!(bool)) };
        let judged = Command::new("file").no_binary_name(true).arg(arg).try_get_matches_from(flags);
        let Err(error) = judged else { return Ok(()) };
        let reason = if values.len() > 1 { "expected one value".to_owned() } else { expectation(&error) };
        Err(format!("{}: {key} is {}, {reason}", self.path.display(), shown(values)))
    }
}

/// A value of the file the way flags are written; a list gives several, a table none at all.
fn as_text(value: &Value) -> Option<Vec<String>> {
    match value {
        Value::String(text) => Some(vec![text.clone()]),
        Value::Integer(_) | Value::Float(_) | Value::Boolean(_) => Some(vec![value.to_string()]),
        Value::Array(items) => {
            items.iter().map(|item| as_text(item).filter(|texts| texts.len() == 1)).collect::<Option<Vec<_>>>().map(|v| v.concat())
        }
        Value::Datetime(_) | Value::Table(_) => None,
    }
}

/// Values as TOML: whole numbers and booleans bare, several as a list.
fn shown(values: &[String]) -> String {
    let one = |value: &String| match value.parse::<u64>() {
        Ok(number) if number.to_string() == *value => value.clone(),
        _ if value == "true" || value == "false" => value.clone(),
        _ => Value::String(value.clone()).to_string(),
    };
    match values {
        [value] => one(value),
        _ => format!("[{}]", values.iter().map(one).collect::<Vec<_>>().join(", ")),
    }
}

/// The settings in force and where each comes from.
pub(super) struct Effective {
    /// A sentence for every variable of the environment that looks like one of ours and is none.
    pub(super) unknown_variables: Vec<String>,
    command: Command,
    matches: ArgMatches,
    file: File,
}

impl Effective {
    /// Prints the settings of the subcommand as a file that `--config` reads back.
    ///
    /// # Errors
    /// When `out` cannot be written.
    pub(super) fn print(&self, out: &mut impl Write) -> io::Result<()> {
        let Some((name, matches)) = self.matches.subcommand() else { return Ok(()) };
        let Some(subcommand) = self.command.find_subcommand(name) else { return Ok(()) };
        for arg in subcommand.get_arguments().filter(|arg| is_setting(arg)) {
            let key = arg.get_id().as_str();
            let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
            match matches.get_raw(key) {
                Some(values) => {
                    let values: Vec<String> = values.map(|value| value.to_string_lossy().into_owned()).collect();
                    writeln!(out, "# {help} ({})\n{key} = {}", self.origin(key, matches), shown(&values))?;
                }
                None => writeln!(out, "# {help} (not set)\n# {key} =")?,
            }
        }
        Ok(())
    }

    fn origin(&self, key: &str, matches: &ArgMatches) -> String {
        match matches.value_source(key) {
            Some(ValueSource::CommandLine) => format!("--{}", key.replace('_', "-")),
            Some(ValueSource::EnvVariable) => variable(key),
            _ if self.file.values.contains_key(key) => self.file.path.display().to_string(),
            _ => "default".to_owned(),
        }
    }
}
