//! The first process of the machines in which hidbpf is tested, shown and measured.

fn main() -> std::process::ExitCode {
    hidbpf_tests::guest::main()
}
