"""Every issue code of a document, with what it means; the documentation is made from this list."""

from __future__ import annotations

DOCUMENT_CODES: dict[str, str] = {
    "DOCUMENT_SYNTAX": "The file is no JSON or YAML mapping in UTF-8.",
    "DOCUMENT_TOO_LARGE": "The file, or what its aliases expand to, passes the size limit.",
    "DOCUMENT_TOO_DEEP": "The data nest deeper than any document needs.",
    "DUPLICATE_KEY": "A key stands twice in one mapping.",
    "INVALID_NUMBER": "A number is not finite or does not fit into 64 bits.",
    "INVALID_TEXT": "A text holds a NUL or half a character, or a value is of no JSON type.",
    "UNKNOWN_KEY": "There is no such key here.",
    "MISSING_KEY": "A key that must be there is not.",
    "INVALID_VALUE": "A value is of the wrong type or out of its range.",
}

INPUT_CODES: dict[str, str] = {
    "MISSING_INPUT": "The workflow's inputs require a key that was not given.",
    "UNKNOWN_INPUT": "The workflow's inputs know no such key.",
    "INVALID_INPUT": "A value does not fit the workflow's inputs.",
    "INPUT_TOO_COSTLY": "Checking the input takes more steps than are allowed.",
}

MEANING_CODES: dict[str, str] = {
    "NO_NODES": "The document has no node.",
    "TOO_MANY_NODES": "The document has more nodes than the limit, bodies and handlers included.",
    "BODIES_TOO_DEEP": "Bodies nest deeper than the limit.",
    "INVALID_ID": "An id is no Python identifier, is a keyword, or is too long.",
    "DUPLICATE_ID": "Two nodes or branches of the document have one id.",
    "NAME_TOO_LONG": "A node's name is too long.",
    "UNKNOWN_TYPE": "The catalogue has no such node type.",
    "TRIGGER_MISPLACED": "A trigger stands in a body or in the handlers.",
    "UNKNOWN_NODE": "An edge, expression or parameter names a node that does not exist or cannot serve there.",
    "UNKNOWN_PORT": "An edge names a port that the node does not have.",
    "SELF_EDGE": "An edge leads from a node to itself.",
    "DUPLICATE_EDGE": "The same edge stands twice.",
    "EDGE_INTO_TRIGGER": "An edge leads into a trigger.",
    "EDGE_CROSSES_GRAPHS": "An edge joins nodes of different graphs.",
    "CYCLE": "Edges lead in a circle.",
    "UNREACHABLE": "A node stands only behind a cycle and can never start.",
    "NOT_UPSTREAM": "An expression reads a node that does not run before.",
    "UNKNOWN_VARIABLE": "An expression reads a variable that is neither declared nor assigned.",
    "UNKNOWN_NODE_INPUT": "An expression reads a key that the node's own inputs do not have.",
    "CONSTANT_WHEN": "A when is a plain text, which says nothing about true or false.",
    "INVALID_NAME": "A variable's name is no Python identifier.",
    "ASSIGN_RACE": "Nodes that may run in any order assign one variable.",
    "ASSIGN_IN_CONCURRENT_BODY": "A loop that runs passes at the same time has an assign inside.",
    "RETRY_CONTRADICTION": "A node has a retry policy, but its on_error is not retry.",
    "THEN_WITHOUT_RETRY": "then says what follows the last retry, but there is none.",
    "ERROR_EDGE_NEVER_LIVE": "An edge from port error can never be followed under the node's policy.",
    "INVALID_DURATION": "A duration is zero, or a longest wait is shorter than the first.",
    "INVALID_NOTIFICATION": "A notification does not say where it goes.",
    "MISSING_CREDENTIAL": "A node must compare with a credential and names none.",
    "DUPLICATE_TRIGGER_KEY": "Two manual triggers of the document have one key.",
    "DUPLICATE_WEBHOOK": "Two webhooks of the document are called at one path with one method.",
    "CACHE_UNUSED": "A node of a kind whose results are never cached has a cache.",
    "CACHE_OF_EFFECTS": "A cached result means that what the node does outside is not done again.",
    "EMPTY_BODY": "A body has neither nodes nor outputs, or a parallel has no branch.",
    "LOOP_TOO_LONG": "A loop has more passes than it may have.",
    "WAIT_OUT_OF_REACH": "A parallel waits for more branches than there are.",
    "INPUT_SCHEMA": "The inputs are no JSON Schema that can be checked safely.",
}

PARAMETER_CODES: dict[str, str] = {
    "UNREACHABLE_CASE": "A case of a switch or condition can never be chosen.",
    "MISSING_PARAM": "A parameter that the node type requires is missing.",
    "INVALID_PARAM": "A parameter is of the wrong type or out of its range.",
}

EXPRESSION_CODES: dict[str, str] = {
    "EXPRESSION_SYNTAX": "An expression is no Python expression.",
    "EXPRESSION_TOO_LONG": "An expression passes the size limit.",
    "UNKNOWN_NAME": "An expression uses a name that does not exist there.",
    "DYNAMIC_NODE_REFERENCE": "An expression computes which node it reads, which cannot be checked or planned.",
}

CODES: dict[str, str] = {
    **DOCUMENT_CODES,
    **MEANING_CODES,
    **PARAMETER_CODES,
    **EXPRESSION_CODES,
    **INPUT_CODES,
}
