base:
  roles:app:
    - match: grain
    - app
