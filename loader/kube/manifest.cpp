#include "loader/kube/manifest.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <nlohmann/json.hpp>

#include "loader/kube/decode.hpp"
#include "loader/kube/document.hpp"
#include "maps/fd.hpp"

namespace sluice::loader::kube {

namespace {

using nlohmann::json;

/// The objects in `document`; `place` is where it stands, and the start of what is said of it.
void add_objects(const json& document, Keep keep, const std::string& place, Manifest& manifest) {
  if (document.is_null()) return;
  const auto kind = document.is_object() ? document.find("kind") : document.end();
  const bool list = document.is_object() && kind != document.end() && kind->is_string() &&
                    kind->get_ref<const std::string&>().ends_with("List") && document.contains("items");
  if (!list) {
    auto object = decode(document, keep);
    if (!object) {
      manifest.errors.push_back(place + object.error().message);
    } else if (keep == Keep::kAll || !std::holds_alternative<std::monostate>(object->body)) {
      manifest.objects.push_back(*std::move(object));
    }
    return;
  }
  const auto& items = document["items"];
  if (!items.is_array()) {
    manifest.errors.push_back(place + "items: must be a list");
    return;
  }
  for (std::size_t i = 0; i < items.size(); ++i) {
    add_objects(items[i], keep, place + "items[" + std::to_string(i) + "]: ", manifest);
  }
}

}  // namespace

Manifest parse_documents(const std::string& text, Keep keep) {
  Manifest manifest;
  const auto read = read_documents(text, [&](int number, const json& document) {
    add_objects(document, keep, "document " + std::to_string(number) + ": ", manifest);
  });
  if (!read) manifest.errors.push_back(read.error().message);
  return manifest;
}

Result<std::vector<Object>> parse_manifest(const std::string& text, const std::string& file_name, Keep keep) {
  auto manifest = parse_documents(text, keep);
  if (!manifest.errors.empty()) return refuse(EINVAL, file_name + ": " + manifest.errors.front());
  return std::move(manifest.objects);
}

Result<std::string> read_text(const std::filesystem::path& file) {
  const auto doing = "read " + file.string();
  const int fd = ::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);  // a named pipe must not hold us up
  if (fd < 0) return fail(errno, doing);
  const Fd in(fd);
  struct stat status {};
  if (::fstat(fd, &status) != 0) return fail(errno, doing);
  std::string text(status.st_size > 0 ? static_cast<std::size_t>(status.st_size) + 1 : 4096, '\0');
  std::size_t length = 0;
  for (;;) {
    const auto got = ::read(fd, text.data() + length, text.size() - length);
    if (got < 0) return fail(errno, doing);
    if (got == 0) break;
    length += static_cast<std::size_t>(got);
    if (length == text.size()) text.resize(2 * text.size());
  }
  text.resize(length);
  return text;
}

Result<std::vector<Object>> read_manifest(const std::filesystem::path& file, Keep keep) {
  return parse_manifest(TRY(read_text(file)), file.string(), keep);
}

}  // namespace sluice::loader::kube
