#include "loader/program/record.hpp"

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

namespace sluice::loader::program {
namespace {

std::filesystem::path record_file(const Root& root) { return root.run() / "datapath.json"; }

}  // namespace

Result<LoadRecord> load_record(const Root& root) {
  std::ifstream file(record_file(root));
  if (!file) return fail(ENOENT, "open " + record_file(root).string());
  const auto json = nlohmann::json::parse(file, nullptr, false);
  if (!json.is_object()) return refuse(EINVAL, record_file(root).string() + " is damaged");
  return LoadRecord{json.value("version", ""), json.value("identity", ""), json.value("complete", false)};
}

Result<void> write_load_record(const Root& root, const LoadRecord& record) {
  const std::string path = record_file(root), fresh = path + ".new";
  const nlohmann::json json = {
      {"version", record.version}, {"identity", record.identity}, {"complete", record.complete}};
  std::ofstream file(fresh, std::ios::trunc);
  file << json.dump() << '\n';
  file.close();
  if (!file) return fail(EIO, "write " + fresh);
  if (rename(fresh.c_str(), path.c_str()) != 0) return fail(errno, "rename " + fresh);
  return {};
}

Result<void> erase_load_record(const Root& root) {
  std::error_code error;
  std::filesystem::remove(record_file(root), error);
  if (error) return fail(error.value(), "remove " + record_file(root).string());
  return {};
}

}  // namespace sluice::loader::program
