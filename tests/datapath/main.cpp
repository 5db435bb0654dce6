// The datapath's tests. Needs root and nothing else: no file, no daemon, no network.
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include "tests/datapath/datapath.hpp"

int main(int argc, char** argv) {
  doctest::Context context(argc, argv);
  if (!context.shouldExit()) sluice::test::Datapath::enter_namespace();
  return context.run();
}
