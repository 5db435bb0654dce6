// What a runtime asks of the CNI plugin: lines of the environment, an empty one, the configuration. It is a request or
// an error that the runtime can be told.
#include "cni/request.hpp"

#include "cni/error.hpp"
#include "cni/settings.hpp"
#include "tests/fuzz/fuzz.hpp"

using namespace sluice::cni;
using sluice::fuzz::must;

namespace {

void must_be_tellable(const sluice::Error& error, const std::string& input) {
  must(code_of(error) > 0 && !error.message.empty(), "an error has a code and words");
  // Throws where a string is not UTF-8.
  must(error_object(error, version_asked(input)).dump().size() > 2, "an error is told as JSON");
}

}  // namespace

// NOLINTNEXTLINE(readability-identifier-naming): libFuzzer's name
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string rest = sluice::fuzz::text_of(data, size);
  Environment environment;
  for (auto end = rest.find('\n'); end != std::string::npos; end = rest.find('\n')) {
    const std::string line = rest.substr(0, end);
    rest.erase(0, end + 1);
    if (line.empty()) break;
    const auto equals = line.find('=');
    if (equals != std::string::npos) environment[line.substr(0, equals)] = line.substr(equals + 1);
  }
  const auto request = Request::read(environment, rest);
  if (!request) {
    must_be_tellable(request.error(), rest);
    return 0;
  }
  (void)request->pod_name();
  if (const auto scope = Scope::parse(request->config); !scope) must_be_tellable(scope.error(), rest);
  const auto settings = Settings::parse(*request);
  if (!settings) must_be_tellable(settings.error(), rest);
  return 0;
}
