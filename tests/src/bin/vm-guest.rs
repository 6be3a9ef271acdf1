//! The first process of the machines that test, demonstrate and measure hidbpf.

fn main() -> std::process::ExitCode {
    hidbpf_tests::guest::main()
}
