// In every executable of a build with sanitizers: where their reports go. A program that the tests run may have an
// environment that a container runtime made and an output that nobody reads, so neither can carry it.
#include <dlfcn.h>

#define REPORT SLUICE_SANITIZER_REPORTS "/report"
#define OPTIONS "log_path=" REPORT ":log_exe_name=1:print_stacktrace=1"

extern "C" const char* __asan_default_options() { return OPTIONS; }
extern "C" const char* __ubsan_default_options() { return OPTIONS; }

// Where both libraries are, g++ 12's libubsan takes all of its options but the path, and libasan's function of that
// name is in front of its own.
[[gnu::constructor]] static void set_path_of_ubsan() {
  void* const ubsan = dlopen("libubsan.so.1", RTLD_NOW | RTLD_NOLOAD);
  if (ubsan == nullptr) return;
  if (void* const set = dlsym(ubsan, "__sanitizer_set_report_path"))
    reinterpret_cast<void (*)(const char*)>(set)(REPORT);
}
