# sluice_target(TARGET): the language level and the warnings that all of Sluice's C++ is built with.
function(sluice_target target)
  target_compile_features(${target} PUBLIC cxx_std_23)
  set_target_properties(${target} PROPERTIES CXX_EXTENSIONS ON)
  target_compile_options(${target} PRIVATE -Wall -Wextra -Wshadow -Wnon-virtual-dtor -Wno-missing-field-initializers
                         $<$<BOOL:${SLUICE_WERROR}>:-Werror>)
  if(SLUICE_SANITIZE)
    target_compile_options(${target} PUBLIC -fsanitize=address,undefined -fno-omit-frame-pointer -fno-sanitize-recover=undefined)
    target_link_options(${target} PUBLIC -fsanitize=address,undefined)
  endif()
endfunction()

# sluice_static(TARGET): links an executable without shared libraries. A CNI plugin is started once a pod, and
# resolving a dozen shared libraries costs more than all its work; a static binary also runs on any node.
function(sluice_static target)
  if(NOT SLUICE_SANITIZE)
    target_link_options(${target} PRIVATE -static)
  endif()
endfunction()
