//! `hidbpf doctor`.

use hidbpf::doctor::{Grade, examine};
use hidbpf::text::Printable;

use super::Context;
use crate::output::{self, Failure, Outcome};

pub fn run(context: &Context) -> Outcome {
    let findings = examine(&context.system);
    if context.json {
        output::json("findings", &findings)?;
    } else {
        output::write(|stdout| {
            for finding in &findings {
                let grade = match finding.grade {
                    Grade::Good => "ok",
                    Grade::Warning => "warning",
                    Grade::Bad => "bad",
                };
                writeln!(stdout, "{grade:>7}  {}: {}", finding.check, Printable(&finding.message))?;
                if let Some(remedy) = &finding.remedy {
                    writeln!(stdout, "         {remedy}")?;
                }
            }
            Ok(())
        })?;
    }
    if findings.iter().any(|finding| finding.grade == Grade::Bad) { Err(Failure::Told.into()) } else { Ok(()) }
}
