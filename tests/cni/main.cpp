// The tests of cni/ against the running kernel. Needs root.
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include "tests/cni/host.hpp"

int main(int argc, char** argv) {
  doctest::Context context(argc, argv);
  if (!context.shouldExit()) {
    sluice::test::Node::enter_namespaces();
    sluice::test::give_node_addresses();
  }
  return context.run();
}
