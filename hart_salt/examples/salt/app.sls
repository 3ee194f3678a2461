say who this is:
  test.show_notification:
    - text: {{ grains['id'] }} is one of {{ grains['roles'] | join(', ') }}
