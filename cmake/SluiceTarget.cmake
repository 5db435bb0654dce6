# Where the programs of a build with sanitizers write what is wrong with them.
set(SLUICE_SANITIZER_REPORTS ${CMAKE_BINARY_DIR}/reports)
if(SLUICE_SANITIZE)
  file(MAKE_DIRECTORY ${SLUICE_SANITIZER_REPORTS})
endif()

# sluice_target(TARGET): the language level and the warnings that all of Sluice's C++ is built with.
function(sluice_target target)
  target_compile_features(${target} PUBLIC cxx_std_23)
  set_target_properties(${target} PROPERTIES CXX_EXTENSIONS ON)
  target_compile_options(${target} PRIVATE -Wall -Wextra -Wshadow -Wnon-virtual-dtor -Wno-missing-field-initializers
                         $<$<BOOL:${SLUICE_WERROR}>:-Werror>)
  if(SLUICE_SANITIZE)
    target_compile_options(${target} PUBLIC -fsanitize=address,undefined -fno-omit-frame-pointer -fno-sanitize-recover=undefined)
    target_compile_definitions(${target} PUBLIC _GLIBCXX_ASSERTIONS)
    target_link_options(${target} PUBLIC -fsanitize=address,undefined)
    get_target_property(type ${target} TYPE)
    if(type STREQUAL EXECUTABLE)
      target_sources(${target} PRIVATE ${PROJECT_SOURCE_DIR}/cmake/sanitizer_options.cpp)
      target_compile_definitions(${target} PRIVATE SLUICE_SANITIZER_REPORTS="${SLUICE_SANITIZER_REPORTS}")
    endif()
  endif()
  if(SLUICE_FUZZ)
    target_compile_options(${target} PRIVATE -fsanitize=fuzzer-no-link)
  endif()
endfunction()

# sluice_static(TARGET): links an executable without shared libraries. A CNI plugin is started once a pod, and
# resolving a dozen shared libraries costs more than all its work; a static binary also runs on any node.
function(sluice_static target)
  if(NOT SLUICE_SANITIZE)
    target_link_options(${target} PRIVATE -static)
  endif()
endfunction()
