# sluice_test(NAME LABEL SECONDS COMMAND [ARGUMENT...]): a test of ctest, given up after SECONDS. COMMAND may be a target.
# With sanitizers it takes longer, and it also fails when they have something to report of any program that it ran.
function(sluice_test name label seconds command)
  if(TARGET ${command})
    set(command $<TARGET_FILE:${command}>)
  endif()
  if(SLUICE_SANITIZE)
    math(EXPR seconds "4 * ${seconds}")
    set(command ${PROJECT_SOURCE_DIR}/tests/sanitized ${SLUICE_SANITIZER_REPORTS} ${command})
  endif()
  add_test(NAME ${name} COMMAND ${command} ${ARGN})
  set_tests_properties(${name} PROPERTIES LABELS ${label} TIMEOUT ${seconds})
endfunction()
