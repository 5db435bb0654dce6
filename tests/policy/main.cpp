// The policy tests. Needs root.
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include "tests/loader/node.hpp"

int main(int argc, char** argv) {
  doctest::Context context(argc, argv);
  if (!context.shouldExit()) sluice::test::Node::enter_namespaces();
  return context.run();
}
