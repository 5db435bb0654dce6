// In every executable of a build with sanitizers: where their reports go. A program that the tests run may have an
// environment that a container runtime made and an output that nobody reads, so neither can carry it.

#define OPTIONS "log_path=" SLUICE_SANITIZER_REPORTS "/report:log_exe_name=1:print_stacktrace=1"

extern "C" const char* __asan_default_options() { return OPTIONS; }
extern "C" const char* __ubsan_default_options() { return OPTIONS; }
