#include "loader/kube/field.hpp"

#include <cerrno>

namespace sluice::loader::kube {

Result<Field> Field::at(const std::string& key) const {
  const std::string path = path_.empty() ? key : path_ + "." + key;
  if (absent()) return Field(nullptr, path);
  if (!value_->is_object()) return not_a("a mapping");
  const auto member = value_->find(key);
  return Field(member == value_->end() ? nullptr : &*member, path);
}

Result<std::vector<Field>> Field::elements() const {
  std::vector<Field> all;
  if (absent()) return all;
  if (!value_->is_array()) return not_a("a list");
  for (std::size_t i = 0; i < value_->size(); ++i) {
    all.push_back(Field(&(*value_)[i], path_ + "[" + std::to_string(i) + "]"));
  }
  return all;
}

Result<std::string> Field::text() const {
  if (absent()) return std::string();
  if (!value_->is_string()) return not_a("a string");
  return value_->get<std::string>();
}

Result<std::string> Field::required_text() const {
  auto value = TRY(text());
  if (value.empty()) return wrong("is missing");
  return value;
}

Result<bool> Field::boolean() const {
  if (absent()) return false;
  if (!value_->is_boolean()) return not_a("true or false");
  return value_->get<bool>();
}

Result<std::int64_t> Field::integer(std::int64_t low, std::int64_t high) const {
  if (absent()) return std::int64_t{0};
  if (!value_->is_number_integer()) return not_a("a whole number");
  const auto value = value_->get<std::int64_t>();
  if (value < low || value > high) return not_a("from " + std::to_string(low) + " to " + std::to_string(high));
  return value;
}

Result<std::map<std::string, std::string>> Field::text_map() const {
  std::map<std::string, std::string> all;
  if (absent()) return all;
  if (!value_->is_object()) return not_a("a mapping");
  for (const auto& [key, value] : value_->items()) all[key] = TRY(Field(&value, path_ + "." + key).text());
  return all;
}

Error Field::wrong(const std::string& what) const { return refuse(EINVAL, path_.empty() ? what : path_ + ": " + what); }

Error Field::not_a(const std::string& type) const {
  std::string found = value_->dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  if (found.size() > 40) found = found.substr(0, 40) + "...";
  return wrong("must be " + type + ", not " + found);
}

}  // namespace sluice::loader::kube
