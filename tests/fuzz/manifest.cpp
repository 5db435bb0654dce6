// Manifests: whatever the bytes are, there are objects or errors in words, and an object that was read is read again
// from what is kept of it.
#include "loader/kube/manifest.hpp"

#include "tests/fuzz/fuzz.hpp"

using namespace sluice::loader::kube;
using sluice::fuzz::must;

// NOLINTNEXTLINE(readability-identifier-naming): libFuzzer's name
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto manifest = parse_documents(sluice::fuzz::text_of(data, size), Keep::kAll);
  for (const std::string& error : manifest.errors) must(!error.empty(), "an error says something");
  for (const Object& object : manifest.objects) {
    must(!object.id.kind.empty() && !object.id.name.empty(), "an object is called something");
    const auto again = parse_documents(object.json, Keep::kAll);
    must(again.errors.empty() && again.objects.size() == 1, object.id.text() + " is read again: " + object.json);
    must(again.objects[0] == object, object.id.text() + " is the same again: " + object.json);
  }
  return 0;
}
