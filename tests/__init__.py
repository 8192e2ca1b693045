import pytest

# Helpers explain their failed assertions as test files do.
pytest.register_assert_rewrite("tests.saving_checks")
